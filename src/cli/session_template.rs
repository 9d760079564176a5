//! `bosun template …`: keep session templates.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, Column, Lines, ListOutputArgs, OutputArgs},
};

/// Largest template file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// `bosun template …`
#[derive(Subcommand, Debug, Clone)]
pub enum TemplateCommand {
    /// Create or replace templates from a file
    Apply(ApplyArgs),
    /// List templates
    List(ListArgs),
    /// Show a template; NAME@VERSION shows an older version
    Show(NamedArgs),
    /// Check a template against the services: boot sets, artifacts, images
    Validate(NamedArgs),
    /// Show every version that a template's name ever stood for
    Versions(NamedArgs),
    /// Delete a template; sessions made from it keep their version
    Delete(DeleteArgs),
}

/// `bosun template apply`
#[derive(Args, Debug, Clone)]
pub struct ApplyArgs {
    /// The template's name, where the file does not say it
    pub name: Option<String>,
    /// A template or a list of templates in JSON or YAML; - reads stdin
    #[arg(long, short, value_name = "FILE")]
    pub file: PathBuf,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun template list`
#[derive(Args, Debug, Clone)]
pub struct ListArgs {
    /// How the list is printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// A template to look at.
#[derive(Args, Debug, Clone)]
pub struct NamedArgs {
    /// The template
    pub name: String,
    /// How the result is printed
    #[command(flatten)]
    pub output: OutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun template delete`
#[derive(Args, Debug, Clone)]
pub struct DeleteArgs {
    /// The template
    pub name: String,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Carries out `bosun template …`.
///
/// # Errors
/// When a file cannot be read, or the server cannot be asked or refuses.
pub async fn run(command: &TemplateCommand) -> Result<Exit, CliError> {
    match command {
        TemplateCommand::Apply(args) => apply(args).await,
        TemplateCommand::List(args) => {
            let value: Value = Client::new(&args.client)?.get(&["templates"], &[]).await?;
            let lines = &Lines {
                columns: &[
                    (Column::Text("NAME"), "name"),
                    (Column::Number("VERSION"), "version"),
                    (Column::Number("BOOT SETS"), "boot_set_count"),
                    (Column::Text("UPDATED"), "updated_at"),
                    (Column::Text("DESCRIPTION"), "description"),
                ],
                wide: &[(Column::Text("TENANT"), "tenant"), (Column::Text("CREATED"), "created_at")],
                name: "name",
            };
            output::list(&args.output, &value, lines)?;
            Ok(Exit::Done)
        }
        TemplateCommand::Show(args) => {
            let value: Value = Client::new(&args.client)?.get(&["templates", &args.name], &[]).await?;
            output::print(args.output.output, &value, || output::yaml(&value))?;
            Ok(Exit::Done)
        }
        TemplateCommand::Versions(args) => {
            let path = ["templates", &args.name, "versions"];
            let value: Value = Client::new(&args.client)?.get(&path, &[]).await?;
            let columns = [
                Column::Number("VERSION"),
                Column::Text("CURRENT"),
                Column::Text("CREATED"),
                Column::Number("SESSIONS"),
                Column::Text("LAST USED"),
            ];
            let keys = ["version", "is_current", "created_at", "sessions", "last_used_at"];
            output::print(args.output.output, &value, || {
                output::table(&columns, output::rows(&value, &keys))
            })?;
            Ok(Exit::Done)
        }
        TemplateCommand::Validate(args) => validate(args).await,
        TemplateCommand::Delete(args) => {
            Client::new(&args.client)?.delete(&["templates", &args.name]).await?;
            output::write(&format!("template {} deleted\n", args.name))?;
            Ok(Exit::Done)
        }
    }
}

async fn apply(args: &ApplyArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.client)?;
    let templates = match read_file(&args.file)? {
        Value::Array(list) => list,
        one => vec![one],
    };
    if args.name.is_some() && templates.len() != 1 {
        return Err(CliError::Usage("a name can only be given for a file of one template".to_owned()));
    }
    for mut template in templates {
        let Some(fields) = template.as_object_mut() else {
            return Err(CliError::File { path: args.file.clone(), cause: "it holds no template".to_owned() });
        };
        // What BOS adds to a template it shows, and refuses when it is sent back.
        fields.remove("tenant");
        fields.remove("links");
        let named = fields.remove("name").and_then(|name| name.as_str().map(str::to_owned));
        let name = args.name.clone().or(named).ok_or_else(|| {
            CliError::Usage(format!(
                "the template in {} has no name: give one on the command line",
                args.file.display()
            ))
        })?;
        let answer: Value = client.put(&["templates", &name], &template).await?;
        output::write(&format!("template {name} applied, version {}\n", answer["version"]))?;
    }
    Ok(Exit::Done)
}

async fn validate(args: &NamedArgs) -> Result<Exit, CliError> {
    let value: Value = Client::new(&args.client)?
        .post(&["templates", &args.name, "validate"], &Value::Object(Default::default()))
        .await?;
    let list = |key: &str| -> Vec<String> {
        value[key]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    };
    let (errors, warnings) = (list("errors"), list("warnings"));
    output::print(args.output.output, &value, || {
        let lines = errors.iter().map(|text| format!("error: {text}\n"));
        let lines = lines.chain(warnings.iter().map(|text| format!("warning: {text}\n")));
        let text: String = lines.collect();
        if text.is_empty() { format!("template {} is valid\n", args.name) } else { text }
    })?;
    Ok(if errors.is_empty() { Exit::Done } else { Exit::Error })
}

/// JSON is YAML, so one parser reads both.
fn read_file(path: &Path) -> Result<Value, CliError> {
    let failed = |cause: String| CliError::File { path: path.to_owned(), cause };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| failed(error.to_string()))?;
    serde_saphyr::from_str(&text).map_err(|error| failed(error.to_string()))
}
