//! HCL, as `terraform fmt` would have it.

use super::Lines;
use super::resources::{Argument, Data, Piece, Reference, Resource, Text, Value, key_arn};
use crate::provision::spec::Wanted;

/// Every resource has this name; its type says what it is.
const NAME: &str = "models";

/// The whole file.
pub(super) fn write(wanted: &Wanted, resources: &[Resource]) -> String {
    let mut body = Lines::default();
    for resource in resources {
        body.blank();
        body.line(0, &format!("resource \"{}\" \"{NAME}\" {{", resource.terraform));
        arguments(&mut body, 1, &resource.arguments);
        if let Some((after, _)) = resource.after {
            body.blank();
            body.line(1, &format!("depends_on = [{after}.{NAME}]"));
        }
        if resource.precious {
            body.blank();
            for (depth, text) in [(1, "lifecycle {"), (2, "prevent_destroy = true"), (1, "}")] {
                body.line(depth, text);
            }
        }
        body.line(0, "}");
    }
    let Lines(body) = body;
    let account =
        if body.contains("data.aws_caller_identity.") { "\ndata \"aws_caller_identity\" \"current\" {}\n" } else { "" };
    let region = quoted(&wanted.region);
    let (bucket, key) = (expression(&Text(vec![Piece::Reference(Reference::Bucket)])), expression(&key_arn(wanted)));
    format!(
        "
terraform {{
  required_version = \">= 1.5\"
  required_providers {{
    aws = {{
      source = \"hashicorp/aws\"
      # Below 6.40 the provider takes a blocked encryption type that S3 set by itself for drift.
      version = \">= 6.40.0, < 7.0.0\"
    }}
  }}
}}

provider \"aws\" {{
  region = {region}
}}
{account}{body}
output \"bucket_name\" {{
  value = {bucket}
}}

output \"kms_key_arn\" {{
  value = {key}
}}
"
    )
}

fn arguments(out: &mut Lines, depth: usize, all: &[Argument]) {
    let width = all.iter().filter(|(_, value)| in_column(value)).map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut before: Option<&Value> = None;
    for (name, value) in all {
        // Only values of one line stand in a column; what is longer stands apart.
        if before.is_some_and(|before| !in_column(before) || !in_column(value)) {
            out.blank();
        }
        before = Some(value);
        match value {
            Value::Block(block) => nested(out, depth, name, block),
            Value::Blocks { blocks, .. } => {
                for (index, block) in blocks.iter().enumerate() {
                    if index > 0 {
                        out.blank();
                    }
                    nested(out, depth, name, block);
                }
            }
            Value::Document(document) => {
                out.line(depth, &format!("{name} = <<-POLICY"));
                let json = serde_json::to_string_pretty(&json(document)).expect("a tree of strings is JSON");
                for line in json.lines() {
                    out.line(depth + 1, line);
                }
                out.line(depth, "POLICY");
            }
            Value::Data(Data::Map(members)) => {
                out.line(depth, &format!("{name} = {{"));
                let width = members.iter().map(|(name, _)| quoted(name).len()).max().unwrap_or(0);
                for (name, value) in members {
                    out.line(depth + 1, &format!("{:width$} = {}", quoted(name), one_line(value)));
                }
                out.line(depth, "}");
            }
            Value::Data(data) => out.line(depth, &format!("{name:width$} = {}", one_line(data))),
        }
    }
}

fn in_column(value: &Value) -> bool {
    matches!(value, Value::Data(Data::Text(_) | Data::Flag(_) | Data::Number(_) | Data::List(_)))
}

fn nested(out: &mut Lines, depth: usize, name: &str, block: &[Argument]) {
    if block.is_empty() {
        out.line(depth, &format!("{name} {{}}"));
        return;
    }
    out.line(depth, &format!("{name} {{"));
    arguments(out, depth + 1, block);
    out.line(depth, "}");
}

fn one_line(data: &Data) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match data {
        Data::Text(text) => expression(text),
        Data::Flag(flag) => flag.to_string(),
        Data::Number(number) => number.to_string(),
        Data::List(items) => format!("[{}]", list(items.iter().map(one_line).collect())),
        Data::Map(members) => {
            let members = members.iter().map(|(name, value)| format!("{} = {}", quoted(name), one_line(value)));
            format!("{{ {} }}", list(members.collect()))
        }
    }
}

/// A reference alone is an expression; in a text it is a template.
fn expression(text: &Text) -> String {
    match text.0.as_slice() {
        [Piece::Reference(reference)] => name_of(*reference),
        pieces => {
            let template: String = pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Literal(literal) => escaped(&inner(literal)),
                    Piece::Reference(reference) => format!("${{{}}}", name_of(*reference)),
                })
                .collect();
            format!("\"{template}\"")
        }
    }
}

/// A policy as JSON, with templates in its strings.
fn json(data: &Data) -> serde_json::Value {
    match data {
        Data::Text(Text(pieces)) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(literal) => escaped(literal),
                Piece::Reference(reference) => format!("${{{}}}", name_of(*reference)),
            })
            .collect::<String>()
            .into(),
        Data::Flag(flag) => (*flag).into(),
        Data::Number(number) => (*number).into(),
        Data::List(items) => items.iter().map(json).collect(),
        Data::Map(members) => {
            let members = members.iter().map(|(name, value)| (escaped(name), json(value)));
            serde_json::Value::Object(members.collect())
        }
    }
}

fn name_of(reference: Reference) -> String {
    match reference {
        Reference::KeyArn => format!("aws_kms_key.{NAME}.arn"),
        Reference::KeyId => format!("aws_kms_key.{NAME}.key_id"),
        Reference::Bucket => format!("aws_s3_bucket.{NAME}.id"),
        Reference::Account => "data.aws_caller_identity.current.account_id".to_owned(),
    }
}

fn quoted(literal: &str) -> String {
    format!("\"{}\"", escaped(&inner(literal)))
}

/// The inside of a quoted string; HCL and JSON escape alike what can stand in a name or an ARN.
fn inner(literal: &str) -> String {
    let json = serde_json::Value::from(literal).to_string();
    json[1..json.len() - 1].to_owned()
}

/// Nothing in a literal is a template.
fn escaped(literal: &str) -> String {
    literal.replace("${", "$${").replace("%{", "%%{")
}
