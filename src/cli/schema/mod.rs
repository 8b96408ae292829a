//! `kerbside schema`: what the messages look like, for machines. JSON Schema for each message, AsyncAPI for the way they travel.
//!
//! Both come from the very structs that are sent (`publish::wire`): their doc comments are the descriptions. Members that a reader
//! does not know are allowed everywhere, because a version only ever gains some.

mod asyncapi;
mod channels;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};

use super::{Exit, Failure};
use crate::publish::wire::{
    AckMessage, AlertMessage, AnswerMessage, AuditMessage, CameraStateMessage, CommandMessage, DisplayMessage, GapMessage,
    HealthMessage, HotlistStateMessage, MAX_GAPS, MAX_GAPS_A_MESSAGE, MAX_HITS, MAX_LISTS, MAX_MARKERS, Message, ReadMessage,
    StatusMessage, UnreadMessage,
};

/// Arguments of `kerbside schema`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which message, as in `kerbside.read/1` or `read`; without one, a list of all
    #[arg(value_name = "NAME", conflicts_with_all = ["all", "asyncapi"])]
    name: Option<String>,
    /// Write one file a message into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "asyncapi")]
    all: Option<PathBuf>,
    /// Topics, directions, QoS, retention and headers as an AsyncAPI 3.0 document in JSON
    #[arg(long)]
    asyncapi: bool,
}

/// One message and how its schema is made.
struct Known {
    name: &'static str,
    make: fn(inline: bool) -> Schema,
}

/// Every message, in the order of the topic table.
const ALL: [Known; 13] = [
    sent::<ReadMessage>(),
    sent::<UnreadMessage>(),
    sent::<AlertMessage>(),
    sent::<StatusMessage>(),
    sent::<CameraStateMessage>(),
    sent::<HealthMessage>(),
    sent::<HotlistStateMessage>(),
    sent::<AuditMessage>(),
    sent::<DisplayMessage>(),
    sent::<GapMessage>(),
    sent::<AnswerMessage>(),
    taken::<AckMessage>(),
    taken::<CommandMessage>(),
];

/// A message that the box sends: every member is there.
const fn sent<M: Message + JsonSchema>() -> Known {
    Known { name: M::SCHEMA, make: |inline| schema::<M>(SchemaSettings::draft2020_12().for_serialize(), inline) }
}

/// A message that the box takes: members with a default may be left out.
const fn taken<M: Message + JsonSchema>() -> Known {
    Known { name: M::SCHEMA, make: |inline| schema::<M>(SchemaSettings::draft2020_12().for_deserialize(), inline) }
}

fn schema<M: Message + JsonSchema>(settings: SchemaSettings, inline: bool) -> Schema {
    let settings = settings.with(|s| s.inline_subschemas = inline).with_transform(PlainWords);
    let mut schema = settings.into_generator().into_root_schema_for::<M>();
    schema.insert("title".into(), M::SCHEMA.into());
    schema.insert("$id".into(), format!("urn:{}", M::SCHEMA.replace(['.', '/'], ":")).into());
    if let Some(member) = schema.pointer_mut("/properties/schema").and_then(|v| v.as_object_mut()) {
        member.insert("const".into(), M::SCHEMA.into());
    }
    schema
}

/// Doc comments name our constants; who reads a schema wants the numbers.
#[derive(Clone, Debug)]
struct PlainWords;

impl Transform for PlainWords {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(text) = schema.get("description").and_then(|d| d.as_str()) {
            let mut text = text.replace('\n', " ");
            for (name, value) in [
                ("MAX_HITS", MAX_HITS),
                ("MAX_MARKERS", MAX_MARKERS),
                ("MAX_LISTS", MAX_LISTS),
                ("MAX_GAPS", MAX_GAPS),
                ("MAX_GAPS_A_MESSAGE", MAX_GAPS_A_MESSAGE),
            ] {
                text = text.replace(&format!("[`{name}`]"), &value.to_string());
            }
            schema.insert("description".into(), text.into());
        }
        transform_subschemas(self, schema);
    }
}

/// Runs the subcommand.
pub(super) fn main(args: &Args) -> Result<Exit, Failure> {
    if args.asyncapi {
        say!("{:#}", asyncapi::document());
    } else if let Some(dir) = &args.all {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("{}: can't be made; choose another folder for --all", dir.display()))
            .map_err(Failure::software)?;
        for known in &ALL {
            let file = dir.join(format!("{}.json", known.name.replace('/', ".")));
            std::fs::write(&file, format!("{:#}\n", (known.make)(false).to_value()))
                .with_context(|| file.display().to_string())
                .map_err(Failure::software)?;
            say!("{}", file.display());
        }
    } else if let Some(name) = &args.name {
        let wanted = |known: &&Known| known.name == name || short_name(known.name) == name;
        let Some(known) = ALL.iter().find(wanted) else {
            let names: Vec<&str> = ALL.iter().map(|k| k.name).collect();
            return Err(Failure::usage(anyhow!("{name:?} is no message; there are {}", names.join(", "))));
        };
        say!("{:#}", (known.make)(false).to_value());
    } else {
        for known in &ALL {
            let text = (known.make)(false);
            let about = text.get("description").and_then(|d| d.as_str()).unwrap_or_default();
            say!("{:<26} {about}", known.name);
        }
    }
    Ok(Exit::Ok)
}

/// `read` of `kerbside.read/1`.
fn short_name(schema: &str) -> &str {
    schema.strip_prefix("kerbside.").and_then(|s| s.split('/').next()).unwrap_or(schema)
}
