//! Lists the files of the browser console for `src/serve/console.rs`: a new file there is served without
//! another word here.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

fn main() {
    let folder = console_folder();
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut table = String::from("[\n");
    for path in served_files(&folder) {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.file_name().expect("a file has a name").to_str().expect("names are ASCII");
        let mut hasher = DefaultHasher::new();
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        writeln!(table, "    Asset {{ name: {name:?}, tag: {tag:?}, body: include_bytes!({path:?}) }},")
            .expect("a string takes everything");
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("console.rs"), table).expect("OUT_DIR is writable");
}

/// `console` is a link to the folder at the top of the repository, and a folder of its own in a published
/// package; where links cannot be checked out (Windows), the folder itself is used.
fn console_folder() -> PathBuf {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    [here.join("console"), here.join("../../console")]
        .into_iter()
        .find(|folder| folder.join("index.html").is_file())
        .expect("console/index.html is part of the repository and of the package")
}

fn served_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the console's folder can be listed")
        .map(|entry| entry.expect("the console's folder can be listed").path())
        .filter(|path| path.is_file())
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("html" | "js" | "css" | "svg"))
        })
        .collect();
    files.sort();
    files
}
