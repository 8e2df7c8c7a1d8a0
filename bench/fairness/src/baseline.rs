//! The server of another revision, built with this program's source.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::processes::Failure;

/// What of this working tree the build of another revision needs.
const OURS: [&str; 2] = ["bench/fairness/src", "crates/wirelet/tests/blocks"];

/// Takes the revision out of the repository, below this program's target directory, and builds it.
pub(crate) fn build(revision: &str) -> Result<PathBuf, Failure> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).ok_or_else(|| Failure("where is the repository?".to_owned()))?;
    let id =
        output(Command::new("git").current_dir(root).args(["rev-parse", "--short", "--verify", revision]))?;
    let place = here.join("target").join(format!("baseline-{}", id.trim()));
    let source = place.join("source");
    let shell = "rm -rf \"$2\" && mkdir -p \"$2\" && git archive \"$1\" | tar -x -C \"$2\"";
    run(Command::new("sh").current_dir(root).args(["-c", shell, "sh", revision]).arg(&source))?;
    for part in OURS {
        copy(&root.join(part), &source.join(part))?;
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        copy_file(&here.join(file), &source.join("bench/fairness").join(file))?;
    }
    let target = place.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").to_owned());
    run(Command::new(cargo)
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(source.join("bench/fairness/Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release").join(env!("CARGO_PKG_NAME")))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure(format!("{}: {error}", from.display()));
    for entry in std::fs::read_dir(from).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        copy_file(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Failure> {
    let made = to.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::copy(from, to))
        .map(drop)
        .map_err(|error| Failure(format!("{}: {error}", to.display())))
}

fn run(command: &mut Command) -> Result<(), Failure> {
    output(command.stderr(Stdio::inherit())).map(drop)
}

fn output(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_owned();
    let wrong = |what: String| Failure(format!("{}: {what}", name.display()));
    let output = command.stdin(Stdio::null()).output().map_err(|error| wrong(error.to_string()))?;
    if !output.status.success() {
        return Err(wrong(format!("{} {}", output.status, String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
