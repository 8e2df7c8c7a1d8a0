//! `docs/rfc6455.md`, `docs/rfc7692.md` and `docs/http.md` name places and tests that exist, and each row has a check or a reason.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The maps, and the sections whose requirements an endpoint meets.
const MAPS: &[(&str, &[&str])] = &[("rfc6455.md", RFC_6455), ("rfc7692.md", RFC_7692), ("http.md", HTTP)];

const RFC_6455: &[&str] = &[
    "3", "4.1", "4.2.1", "4.2.2", "4.3", "4.4", "5.1", "5.2", "5.3", "5.4", "5.5", "5.5.1", "5.5.2", "5.5.3",
    "5.6", "5.7", "5.8", "6.1", "6.2", "7.1.1", "7.1.2", "7.1.3", "7.1.4", "7.1.5", "7.1.6", "7.1.7",
    "7.2.1", "7.2.3", "7.4.1", "7.4.2", "8.1", "9.1", "10.1", "10.2", "10.3", "10.4", "10.6", "10.7",
    "11.3.1", "11.3.3", "11.3.4", "11.3.5",
];

const RFC_7692: &[&str] = &[
    "5", "5.1", "6", "6.1", "6.2", "7", "7.1.1.1", "7.1.1.2", "7.1.2", "7.1.2.1", "7.1.2.2", "7.2.1",
    "7.2.2", "7.2.3.4", "7.2.3.6",
];

const HTTP: &[&str] = &[
    "9112 2.2",
    "9112 3.2",
    "9110 15.6.6",
    "9110 9.3.2",
    "9110 7.8",
    "9112 4",
    "9112 5.2",
    "9110 5.5",
    "9110 7.2",
    "9112 3",
    "9110 10.2.3",
    "9110 5.6.7",
    "9112 6.3",
    "9112 6.1",
    "9112 7.1",
    "9110 10.1.1",
    "9112 6.1",
    "9844 6",
];

struct Row {
    section: String,
    requirement: String,
    check: String,
    test: String,
}

fn rows() -> Vec<Row> {
    MAPS.iter().flat_map(|(map, _)| rows_of(map)).collect()
}

fn rows_of(map: &str) -> Vec<Row> {
    let map = read(Path::new(ROOT).join("../../docs").join(map));
    let cells = |line: &str| {
        let cells: Vec<String> =
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_string()).collect();
        let [section, requirement, check, test] = <[String; 4]>::try_from(cells).expect(line);
        Row { section, requirement, check, test }
    };
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| §");
    map.lines().filter(is_row).map(cells).collect()
}

/// The `file::name` pairs in backticks.
fn references(cell: &str) -> Vec<(String, String)> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.rsplit_once("::"))
        // `Type::method` explains; places and tests are in files, whose names are in small letters.
        .filter(|(file, _)| file.chars().all(|c| !c.is_uppercase()))
        .map(|(file, name)| (file.to_string(), name.to_string()))
        .collect()
}

/// A file in a folder of the core, or of another crate, with which its name begins.
fn place(folder: &str, file: &str) -> PathBuf {
    let crates = Path::new(ROOT).join("..");
    if file.starts_with("wirelet-") { crates.join(file) } else { Path::new(ROOT).join(folder).join(file) }
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The line before the function `name`, without attributes other than `#[test]`; `None` when there is none.
fn line_before(source: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let defines = |line: &&str| {
        let Some((before, after)) = line.split_once(&format!("fn {name}")) else { return false };
        !before.contains("//") && after.starts_with(['(', '<'])
    };
    let at = lines.iter().position(defines)?;
    Some(if at == 0 { String::new() } else { lines[at - 1].to_string() })
}

#[test]
fn each_row_has_a_check_with_a_test_or_a_reason() {
    for row in rows() {
        let reason =
            ["driver: ", "application: ", "not applicable: "].iter().any(|who| row.check.starts_with(who));
        let checked = !references(&row.check).is_empty();
        assert!(reason || checked, "{} {}", row.section, row.requirement);
        assert!(
            !checked || !references(&row.test).is_empty(),
            "no test: {} {}",
            row.section,
            row.requirement
        );
        assert!(!row.requirement.is_empty() && !row.check.is_empty() && !row.test.is_empty());
    }
}

#[test]
fn each_place_exists() {
    for row in rows() {
        for (file, function) in references(&row.check) {
            let source = read(place("src", &file));
            assert!(line_before(&source, &function).is_some(), "{file} has no function {function}");
        }
    }
}

#[test]
fn each_test_exists_and_is_a_test() {
    for row in rows() {
        for (file, test) in references(&row.test) {
            let path = if file.ends_with(".rs") {
                place("src", &file)
            } else {
                place("tests", &format!("{file}.rs"))
            };
            let before = line_before(&read(path), &test);
            assert_eq!(before.as_deref(), Some("#[test]"), "{file} has no test {test}");
        }
    }
}

#[test]
fn each_section_is_there_and_in_order() {
    for (map, expected) in MAPS {
        let mut sections: Vec<String> = rows_of(map).into_iter().map(|row| row.section).collect();
        sections.dedup();
        assert_eq!(&sections, expected);
    }
}
