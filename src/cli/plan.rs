//! `bosun plan`: what a session would do.

use clap::Args;
use serde_json::{Value, json};

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, Format},
    selection,
};

/// What is to be done with whom.
#[derive(Args, Debug, Clone)]
pub struct RequestArgs {
    /// The session template; NAME@VERSION pins a version
    #[arg(long, alias = "template-name", value_name = "NAME")]
    pub template: String,
    /// The operation: boot, reboot, shutdown, configure, or one of the site's own
    #[arg(long)]
    pub operation: String,
    /// Only these components: xnames, ranges (x3000c0s[1-16]b0n0), parents (x3000c0), groups, roles, NIDs
    /// (nid[1-16]), @failed:SESSION, a file (a word with a `/`), or stdin (`-`); `&` keeps what is in both, `!` takes away
    #[arg(long)]
    pub limit: Option<String>,
    /// Include components that HSM says are disabled
    #[arg(long)]
    pub include_disabled: bool,
    /// What is done with a node that is on while nobody knows what it runs: leave or reboot
    #[arg(long, value_name = "POLICY", value_parser = ["leave", "reboot"])]
    pub unknown: Option<String>,
    /// What is done where another session holds components: reject this one (as it is without), wait until they are free,
    /// skip them, or take them over (preempt)
    #[arg(long, value_name = "WHAT", value_parser = ["reject", "wait", "skip", "preempt"])]
    pub on_conflict: Option<String>,
}

impl RequestArgs {
    /// As the API wants it.
    ///
    /// # Errors
    /// When a file with components cannot be read.
    pub fn body(&self) -> Result<Value, CliError> {
        let mut body = json!({
            "template": self.template,
            "operation": self.operation,
            "include_disabled": self.include_disabled,
        });
        if let Some(limit) = &self.limit {
            body["limit"] = json!(selection::expand(limit)?);
        }
        if let Some(unknown) = &self.unknown {
            body["unknown"] = json!(unknown);
        }
        if let Some(on_conflict) = &self.on_conflict {
            body["on_conflict"] = json!(on_conflict);
        }
        Ok(body)
    }
}

/// The form of a plan.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanFormat {
    /// Members, skips, artifacts and the tree of steps, for people.
    Table,
    /// Everything, for scripts.
    Json,
    /// Everything, for scripts and files.
    Yaml,
    /// The DAG for Graphviz.
    Dot,
}

/// `bosun plan`
#[derive(Args, Debug, Clone)]
pub struct PlanArgs {
    /// What is to be done
    #[command(flatten)]
    pub request: RequestArgs,
    /// How the plan is printed
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: PlanFormat,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Shows what a session would do; changes nothing.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn run(args: &PlanArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.client)?;
    let plan: Value = client.post(&["plan"], &args.request.body()?).await?;
    let text = |key: &str| plan[key].as_str().unwrap_or_default().to_owned();
    let format = match args.output {
        PlanFormat::Dot => {
            output::write(&text("dot"))?;
            return Ok(Exit::Done);
        }
        PlanFormat::Table => Format::Table,
        PlanFormat::Json => Format::Json,
        PlanFormat::Yaml => Format::Yaml,
    };
    output::print(format, &plan, || table(&plan))?;
    Ok(Exit::Done)
}

fn table(plan: &Value) -> String {
    // Whom a boot has to power-cycle is only known when it has looked.
    let cycled = match plan["power_cycled"].as_u64() {
        None | Some(0) => String::new(),
        Some(count) => format!(", of which {count} would be power-cycled"),
    };
    let mut text = format!(
        "{} {}: {} components{cycled}, {} skipped\n",
        plan["operation"].as_str().unwrap_or_default(),
        plan["template"].as_str().unwrap_or_default(),
        plan["targeted"],
        plan["skipped"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|skip| skip["count"].as_u64())
            .sum::<u64>(),
    );
    let lines = |key: &str, heading: &str, line: fn(&Value) -> String| {
        let items = plan[key].as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            return String::new();
        }
        items.iter().fold(format!("\n{heading}\n"), |text, item| text + "  " + &line(item) + "\n")
    };
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text += &lines("boot_sets", "boot sets", |set| {
        let optional =
            |key: &str| set[key].as_str().map_or_else(String::new, |text| format!("\n    {key}: {text}"));
        let fields = ["kernel", "initrd", "kernel_parameters", "configuration"].map(optional).concat();
        format!("{} ({}): {}{fields}", text_of(&set["name"]), set["count"], text_of(&set["components"]))
    });
    text += &lines("skipped", "skipped", |skip| {
        format!("{} ({}): {}", text_of(&skip["reason"]), skip["count"], text_of(&skip["components"]))
    });
    text += &lines("conflicts", "held by other sessions", |conflict| {
        format!(
            "{} ({}): {}",
            text_of(&conflict["session"]),
            conflict["count"],
            text_of(&conflict["components"])
        )
    });
    text += &lines("notes", "notes", |note| text_of(note).to_owned());
    text += &format!("\n{}", plain(&plan["tree"]));
    if let Some(hash) = plan["plan_hash"].as_str() {
        text += &format!("\nplan {hash}\n");
    }
    text
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
