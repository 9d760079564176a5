//! The workflows in `workflows/examples` can be used as they are.

use std::{fs, path::Path};

use bosun::plan::workflow;

/// Operation and text of each.
pub fn examples() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/examples");
    let mut examples: Vec<(String, String)> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let operation = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (operation, fs::read_to_string(path).unwrap())
        })
        .collect();
    examples.sort();
    examples
}

#[test]
fn every_example_is_free_of_mistakes() {
    let examples = examples();
    let names: Vec<&str> = examples.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["slurm_reboot", "slurm_resume", "webhook_reboot"]);
    let mistakes: Vec<String> = workflow::Workflows::load(examples)
        .err()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(mistakes, Vec::<String>::new());
}
