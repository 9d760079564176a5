//! How data is written to stdout: tables for people, JSON and YAML for scripts.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use super::CliError;
use crate::model::Timestamp;

/// The form of what is printed.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For scripts.
    Json,
    /// For scripts and files.
    Yaml,
}

/// `-o`
#[derive(Args, Debug, Clone, Copy)]
pub struct OutputArgs {
    /// How the result is printed
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Format,
}

/// The form of a list.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListFormat {
    /// For people.
    #[default]
    Table,
    /// For people with a wide terminal.
    Wide,
    /// For scripts.
    Json,
    /// For scripts and files.
    Yaml,
    /// One name a line, for another command.
    Name,
}

/// `-o` of a list
#[derive(Args, Debug, Clone, Copy)]
pub struct ListOutputArgs {
    /// How the list is printed
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: ListFormat,
    /// Leave the headings out
    #[arg(long)]
    pub no_headers: bool,
}

/// How the lines of a list are shown.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// What is always shown, with the keys it has in JSON.
    pub columns: &'a [(Column, &'a str)],
    /// What a wide table shows as well.
    pub wide: &'a [(Column, &'a str)],
    /// The key of what a line is called by.
    pub name: &'a str,
}

/// A column of a table: its heading, and whether it holds numbers.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// Text, to the left.
    Text(&'static str),
    /// A number, to the right.
    Number(&'static str),
}

/// A table without lines, as `kubectl` prints them: columns are as wide as they must be.
pub fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|column| match column {
        Column::Text(name) | Column::Number(name) => *name,
    }));
    for row in rows {
        table.add_row(row);
    }
    for (column, shape) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        if matches!(shape, Column::Number(_)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The rows of a list of objects: the given keys, empty where null.
pub fn rows(list: &Value, keys: &[&str]) -> Vec<Vec<String>> {
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => whole_seconds(text).unwrap_or_else(|| text.clone()),
        other => other.to_string(),
    };
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| keys.iter().map(|key| cell(&item[*key])).collect()).collect()
}

/// A moment without the fractions that nobody reads in a table.
fn whole_seconds(text: &str) -> Option<String> {
    let moment: Timestamp = text.parse().ok().filter(|_| text.ends_with('Z'))?;
    Some(moment.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Prints `value`, or what `table` makes of it.
///
/// # Errors
/// When stdout is gone.
pub fn print(format: Format, value: &Value, table: impl FnOnce() -> String) -> Result<(), CliError> {
    let text = match format {
        Format::Table => table(),
        Format::Json => json(value),
        Format::Yaml => yaml(value),
    };
    write(&text)
}

/// Prints a list, whose lines are objects.
///
/// # Errors
/// When stdout is gone.
pub fn list(args: &ListOutputArgs, value: &Value, lines: &Lines<'_>) -> Result<(), CliError> {
    let shown = |columns: Vec<(Column, &str)>| {
        let (columns, keys): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let text = table(&columns, rows(value, &keys));
        headed(args, text)
    };
    write(&match args.output {
        ListFormat::Table => shown(lines.columns.to_vec()),
        ListFormat::Wide => shown([lines.columns, lines.wide].concat()),
        ListFormat::Json => json(value),
        ListFormat::Yaml => yaml(value),
        ListFormat::Name => {
            rows(value, &[lines.name]).iter().map(|row| format!("{}\n", row.join(""))).collect()
        }
    })
}

/// A table's text, without its headings where nobody wants them.
pub fn headed(args: &ListOutputArgs, table: String) -> String {
    match table.split_once('\n') {
        Some((_, rows)) if args.no_headers => rows.to_owned(),
        _ => table,
    }
}

/// Writes text to stdout.
///
/// # Errors
/// When stdout is gone.
pub fn write(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

/// As YAML.
pub fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|_| json(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_line_up() {
        let text = table(
            &[Column::Text("NAME"), Column::Number("FAILED"), Column::Text("STATE")],
            [
                vec!["a".to_owned(), "12".to_owned(), "ended".to_owned()],
                vec!["long".to_owned(), "3".to_owned(), String::new()],
            ],
        );
        assert_eq!(text, "NAME  FAILED  STATE\na         12  ended\nlong       3\n");
    }

    #[test]
    fn cells_are_for_people() {
        let list = json!([{"name": "a", "at": "2026-01-02T03:04:05.678901Z", "failed": 3, "error": null}]);
        assert_eq!(rows(&list, &["name", "at", "failed", "error"]), [["a", "2026-01-02T03:04:05Z", "3", ""]]);
    }

    #[test]
    fn headings_may_be_left_out() {
        let args = |no_headers| ListOutputArgs { output: ListFormat::Table, no_headers };
        assert_eq!(headed(&args(true), "NAME\na\nb\n".to_owned()), "a\nb\n");
        assert_eq!(headed(&args(false), "NAME\na\n".to_owned()), "NAME\na\n");
    }

    #[test]
    fn json_is_indented_and_sorted() {
        assert_eq!(json(&json!({"b": 1, "a": []})), "{\n  \"a\": [],\n  \"b\": 1\n}\n");
    }
}
