//! `bosun import bos URL`: takes over what a running BOS v2 knows, so that bosun can take its place. Read from BOS, written
//! through bosun's own API; BOS is asked, and never told anything.

mod source;
mod summary;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, OutputArgs},
};
use source::{Machine, Source};
use summary::{Kind, Summary};

/// Components of one request, as the server takes them.
const COMPONENTS_MAX: usize = 500;
/// Templates of one request: the server looks at the images of each.
const TEMPLATES_MAX: usize = 10;

/// `bosun import …`
#[derive(Subcommand, Debug, Clone)]
pub enum ImportCommand {
    /// Take over options, templates, and what each node runs, from a running BOS v2
    ///
    /// Nothing is begun, nothing is switched, and nothing is written to BOS. What bosun has already stays, unless
    /// --overwrite is given; what it found out of a node itself stays always. The command may be given as often as one
    /// likes.
    Bos(BosArgs),
}

/// `bosun import bos`
#[derive(Args, Debug, Clone)]
pub struct BosArgs {
    /// BOS's root, as in https://api-gw-service-nmn.local/apis/bos
    #[arg(value_name = "URL")]
    pub bos: String,
    /// Say what would be taken, and take nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take BOS's options and templates also where bosun has others
    #[arg(long)]
    pub overwrite: bool,
    /// A file with a bearer token for BOS; without it BOS is asked without one
    #[arg(long, env = "BOSUN_BOS_TOKEN_FILE", value_name = "FILE")]
    pub bos_token_file: Option<PathBuf>,
    /// How the summary is printed
    #[command(flatten)]
    pub output: OutputArgs,
    /// The server that takes over
    #[command(flatten)]
    pub client: ClientArgs,
}

/// What became of one thing, as the server tells it.
#[derive(Deserialize)]
struct Fate {
    name: String,
    fate: String,
    reason: String,
}

#[derive(Deserialize)]
struct Imported {
    options: Vec<Fate>,
    templates: Vec<Fate>,
    tokens: Vec<Fate>,
    components: Vec<Fate>,
}

/// Carries out `bosun import …`.
///
/// # Errors
/// When BOS cannot be read, or bosun cannot be asked or refuses. What was written until then stays; the same command
/// goes on from there.
pub async fn run(command: &ImportCommand) -> Result<Exit, CliError> {
    let ImportCommand::Bos(args) = command;
    let bosun = Client::new(&args.client)?;
    let source = Source::open(args).await?;
    let Machine { components, remarks } = source.components().await?;
    let (options, templates) = (source.options().await?, source.templates().await?);
    let mut summary = Summary::new(&args.bos, &source.version, args.dry_run, remarks);

    let send = async |part: &str, content: Value| -> Result<Imported, CliError> {
        let body = json!({"dry_run": args.dry_run, "overwrite": args.overwrite, part: content});
        bosun.post(&["import"], &body).await
    };
    let mut answers = vec![send("options", options).await?];
    for some in templates.chunks(TEMPLATES_MAX) {
        answers.push(send("templates", json!(some)).await?);
    }
    for some in components.chunks(COMPONENTS_MAX) {
        answers.push(send("components", json!(some)).await?);
    }
    for answer in answers {
        for (kind, fates) in [
            (Kind::Options, answer.options),
            (Kind::Templates, answer.templates),
            (Kind::Tokens, answer.tokens),
            (Kind::Components, answer.components),
        ] {
            fates.into_iter().for_each(|fate| summary.add(kind, fate));
        }
    }
    output::print(args.output.output, &summary.json(), || summary.table())?;
    Ok(Exit::Done)
}
