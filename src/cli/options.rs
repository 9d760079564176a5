//! `bosun option …`: bosun's own options. BOS's are at `/v2/options`, as `cray bos v2 options` shows them.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, Column, Lines, ListFormat, ListOutputArgs},
};

/// `bosun option …`
#[derive(Subcommand, Debug, Clone)]
pub enum OptionCommand {
    /// Show bosun's own options
    Show(ShowArgs),
    /// Change some of them, as in confirm_over=100
    Set(SetArgs),
}

/// `bosun option show`
#[derive(Args, Debug, Clone)]
pub struct ShowArgs {
    /// How the options are printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun option set`
#[derive(Args, Debug, Clone)]
pub struct SetArgs {
    /// NAME=VALUE, one or more
    #[arg(required = true, value_name = "NAME=VALUE")]
    pub options: Vec<String>,
    /// How the options are printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Carries out `bosun option …`.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn run(command: &OptionCommand) -> Result<Exit, CliError> {
    let (options, output): (Value, _) = match command {
        OptionCommand::Show(args) => (Client::new(&args.client)?.get(&["options"], &[]).await?, &args.output),
        OptionCommand::Set(args) => {
            let wanted = changes(&args.options)?;
            (Client::new(&args.client)?.patch(&["options"], &wanted).await?, &args.output)
        }
    };
    let shown = match (output.output, options.as_object()) {
        (ListFormat::Json | ListFormat::Yaml, _) | (_, None) => options,
        (_, Some(options)) => {
            options.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
        }
    };
    let lines = &Lines {
        columns: &[(Column::Text("OPTION"), "name"), (Column::Text("VALUE"), "value")],
        wide: &[],
        name: "name",
    };
    output::list(output, &shown, lines)?;
    Ok(Exit::Done)
}

/// A number where it is one, text otherwise; the server knows which it should be.
fn changes(options: &[String]) -> Result<Value, CliError> {
    let change = |option: &String| {
        let (name, value) = option.split_once('=').ok_or_else(|| {
            CliError::Usage(format!("'{option}' is not NAME=VALUE, as in confirm_over=100"))
        })?;
        let value = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
        Ok((name.to_owned(), value))
    };
    options.iter().map(change).collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_numbers() {
        let wanted = changes(&["confirm_over=100".to_owned(), "history_ttl=90d".to_owned()]).unwrap();
        assert_eq!(wanted, json!({"confirm_over": 100, "history_ttl": "90d"}));
        assert!(changes(&["confirm_over".to_owned()]).is_err());
    }
}
