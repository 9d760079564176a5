//! Whom a command is for, as it is typed: a limit in which `-` stands for stdin, and a word with a `/` for a file.
//!
//! Files hold words separated by commas, blanks or lines; `#` begins a comment. What ranges, parents, groups and NIDs
//! stand for the server knows.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use super::CliError;
use crate::model::xname::{self, Xname, pattern};

/// Largest file: the names of more nodes than any machine has.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reads what files and stdin hold into the selection.
///
/// # Errors
/// When one cannot be read, or holds nobody.
pub fn expand(selection: &str) -> Result<String, CliError> {
    let words = pattern::split_list(selection).map(|word| {
        let word = word.trim();
        let (sign, name) = match word.chars().next() {
            Some('!') => ("!", &word[1..]),
            Some('&') => ("&", &word[1..]),
            _ => ("", word),
        };
        if name != "-" && !name.contains('/') {
            return Ok(word.to_owned());
        }
        let names = fold(&words(&read(name)?));
        match (names.as_slice(), sign) {
            ([], _) => Err(CliError::File { path: PathBuf::from(name), cause: "it names nobody".to_owned() }),
            ([_, _, ..], "&") => Err(CliError::Usage(format!(
                "'{word}' names several: put the file first, and what is to be kept of it behind"
            ))),
            (names, sign) => {
                Ok(names.iter().map(|name| format!("{sign}{name}")).collect::<Vec<_>>().join(","))
            }
        }
    });
    Ok(words.collect::<Result<Vec<_>, _>>()?.join(","))
}

fn read(name: &str) -> Result<String, CliError> {
    let path = Path::new(name);
    let mut text = String::new();
    let read = if name == "-" {
        std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| CliError::File { path: path.to_owned(), cause: error.to_string() })?;
    Ok(text)
}

/// The words of a file.
fn words(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let items = lines.flat_map(|line| line.split_whitespace()).flat_map(pattern::split_list);
    items.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Names of nodes become ranges, so that a request for a whole machine stays short; other words stay.
fn fold(words: &[String]) -> Vec<String> {
    let xnames: Vec<Xname> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let others = words.iter().filter(|word| word.parse::<Xname>().is_err()).cloned();
    let folded = xname::fold(&xnames);
    pattern::split_list(&folded).filter(|word| !word.is_empty()).map(str::to_owned).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_words_in_any_form() {
        let text = "x1c0s0b0n0, x1c0s1b0n0 # the first two\n\n# none\nx1c0s[4,6]b0n0\tuan,\n";
        assert_eq!(words(text), ["x1c0s0b0n0", "x1c0s1b0n0", "x1c0s[4,6]b0n0", "uan"]);
        assert_eq!(fold(&words(text)), ["x1c0s[0-1]b0n0", "x1c0s[4,6]b0n0", "uan"]);
    }

    #[test]
    fn words_that_are_no_files_stay_as_they_are() {
        let limit = "group1,&Compute,!x1000c0s[1,3]b0n0";
        assert_eq!(expand(limit).unwrap(), limit);
        assert!(
            expand("x1,!/nowhere/at/all").unwrap_err().to_string().starts_with("cannot read /nowhere/at/all")
        );
    }
}
