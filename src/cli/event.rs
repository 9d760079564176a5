//! `bosun session events`: the narrative of a session, as it is or as it goes on.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, Format, OutputArgs},
    summary,
    view::EventView,
};

/// Most events of one page.
const PAGE: usize = 1_000;
/// Pause before a stream that broke is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// How often in a row a stream may fail to be opened.
const TRIES_MAX: u32 = 60;

/// `bosun session events`
#[derive(Args, Debug, Clone)]
pub struct EventsArgs {
    /// The session
    pub name: String,
    /// Only events after this number
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    pub after: i64,
    /// Go on until the session's end
    #[arg(long, short)]
    pub follow: bool,
    /// How events are printed
    #[command(flatten)]
    pub output: OutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Carries out `bosun session events`.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn run(args: &EventsArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.client)?;
    if args.follow { follow(&client, args).await } else { show(&client, args).await }
}

async fn show(client: &Client, args: &EventsArgs) -> Result<Exit, CliError> {
    let mut after = args.after;
    let mut all = Vec::new();
    loop {
        let seq = after.to_string();
        let page: Vec<Value> =
            client.get(&["sessions", &args.name, "events"], &[("after", seq.as_str())]).await?;
        let full = page.len() >= PAGE;
        for value in page {
            let event = read(&value)?;
            after = event.seq;
            match args.output.output {
                Format::Table => output::write(&summary::event(&event))?,
                Format::Json | Format::Yaml => all.push(value),
            }
        }
        if !full {
            break;
        }
    }
    if args.output.output != Format::Table {
        output::print(args.output.output, &Value::Array(all), String::new)?;
    }
    Ok(Exit::Done)
}

/// Each event as it happens. A stream that breaks is opened again where it broke: nothing is missed, nothing told twice.
async fn follow(client: &Client, args: &EventsArgs) -> Result<Exit, CliError> {
    let mut after = args.after;
    let mut tries = 0;
    loop {
        match client.stream(&["sessions", &args.name, "events"], after).await {
            Ok(None) => return Ok(Exit::Done),
            Ok(Some(mut lines)) => {
                tries = 0;
                while let Some(line) = lines.next().await {
                    let Some(data) = line.strip_prefix("data:") else { continue };
                    let value: Value = serde_json::from_str(data.trim()).unwrap_or_default();
                    let event = read(&value)?;
                    after = event.seq;
                    output::write(&match args.output.output {
                        Format::Table => summary::event(&event),
                        Format::Json => format!("{value}\n"),
                        Format::Yaml => format!("---\n{}", output::yaml(&value)),
                    })?;
                }
            }
            Err(error) if error.is_transient() && tries < TRIES_MAX => tries += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

fn read(value: &Value) -> Result<EventView, CliError> {
    serde_json::from_value(value.clone()).map_err(|error| CliError::Unreadable {
        url: "the narrative of the session".to_owned(),
        cause: error.to_string(),
    })
}
