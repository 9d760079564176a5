//! `bosun freeze …`: maintenance locks.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, Column, Lines, ListFormat, ListOutputArgs},
    selection,
};
use crate::model::Timestamp;

/// `bosun freeze …`
#[derive(Subcommand, Debug, Clone)]
pub enum FreezeCommand {
    /// Let no session begin anything with the machine, or with a part of it
    Set(SetArgs),
    /// Show what is frozen, by whom and why
    Show(ShowArgs),
    /// End a freeze
    Lift(LiftArgs),
}

/// `bosun freeze set`
#[derive(Args, Debug, Clone)]
pub struct SetArgs {
    /// Why, for everybody who is refused
    #[arg(long)]
    pub reason: String,
    /// When it ends by itself: a moment (2026-03-01T06:00:00Z), or how long it lasts (8h)
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// Only these components, as in a limit; the whole machine where none is given
    #[arg(long, value_name = "LIMIT")]
    pub components: Option<String>,
    /// But for these components, as in a limit
    #[arg(long, value_name = "LIMIT")]
    pub except: Option<String>,
    /// But for the sessions of this person or service; may be repeated
    #[arg(long, value_name = "ACTOR")]
    pub except_actor: Vec<String>,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun freeze show`
#[derive(Args, Debug, Clone)]
pub struct ShowArgs {
    /// Those that are over too
    #[arg(long)]
    pub all: bool,
    /// How the list is printed
    #[command(flatten)]
    pub output: ListOutputArgs,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `bosun freeze lift`
#[derive(Args, Debug, Clone)]
pub struct LiftArgs {
    /// The freeze's number
    #[arg(required_unless_present = "all")]
    pub id: Option<i64>,
    /// Every freeze that is in force
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// A moment, or a time from now.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let wrong = || format!("'{text}' is no moment (2026-03-01T06:00:00Z) and no time (8h)");
    let lasts = humantime::parse_duration(text).map_err(|_| wrong())?;
    chrono::TimeDelta::from_std(lasts)
        .ok()
        .and_then(|lasts| chrono::Utc::now().checked_add_signed(lasts))
        .ok_or_else(wrong)
}

/// Carries out `bosun freeze …`.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn run(command: &FreezeCommand) -> Result<Exit, CliError> {
    match command {
        FreezeCommand::Set(args) => {
            let mut body = json!({"reason": args.reason, "except_actors": args.except_actor});
            if let Some(until) = args.until {
                body["until"] = json!(until);
            }
            for (key, words) in [("components", &args.components), ("except", &args.except)] {
                if let Some(words) = words {
                    body[key] = json!(selection::expand(words)?);
                }
            }
            let freeze: Value = Client::new(&args.client)?.post(&["freezes"], &body).await?;
            let what = freeze["components"].as_str().unwrap_or("the machine");
            let until = match freeze["until"].as_str() {
                Some(until) => format!("until {until}, or until"),
                None => "until".to_owned(),
            };
            let id = &freeze["id"];
            output::write(&format!("frozen: {what}; {until} 'bosun freeze lift {id}'\n"))?;
        }
        FreezeCommand::Show(args) => {
            let query: &[_] = if args.all { &[("all", "true")] } else { &[] };
            let value: Value = Client::new(&args.client)?.get(&["freezes"], query).await?;
            list(&args.output, value)?;
        }
        FreezeCommand::Lift(args) => {
            let client = Client::new(&args.client)?;
            match args.id {
                None => {
                    let answer: Value = client.delete_all(&["freezes"]).await?;
                    output::write(&format!("{}\n", answer["message"].as_str().unwrap_or_default()))?;
                }
                Some(id) => {
                    client.delete(&["freezes", &id.to_string()]).await?;
                    output::write(&format!("freeze {id} is lifted\n"))?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

/// For people a freeze without components is one of everything.
fn list(args: &ListOutputArgs, mut freezes: Value) -> Result<(), CliError> {
    if matches!(args.output, ListFormat::Table | ListFormat::Wide) {
        for freeze in freezes.as_array_mut().into_iter().flatten() {
            if freeze["components"].is_null() {
                freeze["components"] = json!("everything");
            }
            let actors = freeze["except_actors"].as_array().into_iter().flatten().filter_map(Value::as_str);
            freeze["except_actors"] = json!(actors.collect::<Vec<_>>().join(","));
        }
    }
    let lines = &Lines {
        columns: &[
            (Column::Number("ID"), "id"),
            (Column::Text("COMPONENTS"), "components"),
            (Column::Text("EXCEPT"), "except"),
            (Column::Text("ACTOR"), "actor"),
            (Column::Text("SINCE"), "created_at"),
            (Column::Text("UNTIL"), "until"),
            (Column::Text("LIFTED"), "lifted_at"),
            (Column::Text("REASON"), "reason"),
        ],
        wide: &[(Column::Text("EXCEPT ACTORS"), "except_actors"), (Column::Text("LIFTED BY"), "lifted_by")],
        name: "id",
    };
    output::list(args, &freezes, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_ends_at_a_moment_or_after_a_time() {
        assert_eq!(moment("2026-03-01T06:00:00Z"), Ok("2026-03-01T06:00:00Z".parse().unwrap()));
        let (before, until) = (chrono::Utc::now(), moment("8h").unwrap());
        assert!(
            until >= before + chrono::TimeDelta::hours(8) && until < before + chrono::TimeDelta::hours(9)
        );
        assert!(moment("tomorrow").is_err());
    }
}
