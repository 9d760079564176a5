//! The one binary: parse, do what the role does, tell how it ended.

use std::{ffi::OsString, io::Write as _, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::{CommandFactory, FromArgMatches};

use bosun::{
    cli::{self, Exit},
    config::{self, Cli, Command, LogArgs, LogFormat, MigrateArgs},
    db, demo, dev, doctor, serve, sim, telemetry, worker,
};

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let machine = matches.subcommand_matches("dev").map(config::machine_arguments).unwrap_or_default();
    if let Err(error) = telemetry::start(&cli.log, cli.command.log_default()) {
        eprintln!("bosun: --log: {error}");
        return Exit::Usage.into();
    }
    // The one TLS provider of the process; only a second call could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bosun: cannot start: {error}");
            return Exit::Error.into();
        }
    };
    let ended = runtime.block_on(run(cli.command, machine, &cli.log));
    runtime.shutdown_background();
    ended
}

async fn run(command: Command, machine: Vec<OsString>, log: &LogArgs) -> ExitCode {
    let ended = match &command {
        Command::Plan(args) => cli::plan::run(args).await,
        Command::Session(command) => cli::session::run(command).await,
        Command::Template(command) => cli::session_template::run(command).await,
        Command::Component(command) => cli::component::run(command).await,
        Command::Import(command) => cli::import::run(command).await,
        Command::Sql(args) => cli::sql::run(args),
        Command::Freeze(command) => cli::freeze::run(command).await,
        Command::Option(command) => cli::options::run(command).await,
        Command::Step(command) => cli::step::run(command).await,
        _ => return role(command, machine, log).await,
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            if !error.is_unread() {
                let hint = error.hint(command.list()).map_or_else(String::new, |hint| format!("; {hint}"));
                eprintln!("bosun: {error}{hint}");
            }
            error.exit().into()
        }
    }
}

async fn role(command: Command, machine: Vec<OsString>, log: &LogArgs) -> ExitCode {
    let done = |ended: anyhow::Result<()>| ended.map(|()| Exit::Done.into());
    let ended: anyhow::Result<ExitCode> = match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Dev(args) => done(dev::run(args, machine, log).await),
        Command::Serve(args) => done(serve::run(args, log).await),
        Command::Worker(args) => worker::run(args).await,
        Command::Simulate(args) => done(sim::run(args.machine, args.listen).await.map_err(Into::into)),
        Command::Migrate(args) => done(migrate(&args).await),
        Command::Doctor(args) => doctor::run(args).await,
        Command::Completions(args) => done(completions(args.shell)),
        Command::Man(args) => done(man(&args.directory)),
        Command::Plan(_)
        | Command::Session(_)
        | Command::Template(_)
        | Command::Component(_)
        | Command::Freeze(_)
        | Command::Import(_)
        | Command::Sql(_)
        | Command::Option(_)
        | Command::Step(_) => unreachable!("client commands are carried out by their caller"),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            match log.log_format {
                LogFormat::Human => eprintln!("bosun: {error:#}"),
                // Whoever reads the log as JSON can read its last line, too.
                LogFormat::Json => tracing::error!("{error:#}"),
            }
            Exit::Error.into()
        }
    }
}

/// Nobody who reads only a part of it is told.
fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bosun", &mut text);
    match std::io::stdout().lock().write_all(&text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A page for each command; `help` needs none.
fn man(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), directory))
        .with_context(|| format!("cannot write manual pages to {}", directory.display()))
}

async fn migrate(args: &MigrateArgs) -> anyhow::Result<()> {
    let url = &args.database.database_url;
    let pool = serve::patiently(args.patience, || db::connect(url, 1, "bosun migrate")).await?;
    db::migrate(&pool).await?;
    pool.close().await;
    println!("the schema is up to date");
    Ok(())
}
