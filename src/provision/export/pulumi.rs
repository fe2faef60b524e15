//! A Pulumi program in YAML. Every text is quoted, so that no word is taken for a number or a truth value.

use super::resources::{Argument, Data, Piece, Reference, Resource, Text, Value, key_arn};
use crate::provision::spec::Wanted;

/// The release of Pulumi's AWS provider that these arguments are written for.
const PROVIDER_VERSION: &str = "7.39.0";

/// YAML as far as it is needed.
enum Node {
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// The whole file.
pub(super) fn write(wanted: &Wanted, resources: &[Resource]) -> String {
    let provider = map([
        ("type", quoted("pulumi:providers:aws")),
        // For every resource here.
        ("defaultProvider", Node::Scalar("true".to_owned())),
        ("properties", map([("region", quoted(&wanted.region))])),
        ("options", map([("version", quoted(PROVIDER_VERSION))])),
    ]);
    let mut all = vec![("aws".to_owned(), provider)];
    all.extend(resources.iter().map(|one| (one.name.to_owned(), resource(one))));
    let outputs = map([
        ("bucket_name", text(&Text(vec![Piece::Reference(Reference::Bucket)]))),
        ("kms_key_arn", text(&key_arn(wanted))),
    ]);
    let mut body = String::new();
    write_map(&mut body, 0, &[("resources".to_owned(), Node::Map(all)), ("outputs".to_owned(), outputs)]);
    let mut head = String::new();
    write_map(
        &mut head,
        0,
        &[
            ("name".to_owned(), quoted("strongroom-bucket")),
            ("runtime".to_owned(), quoted("yaml")),
            ("description".to_owned(), quoted("The bucket and the KMS key that Strongroom keeps models in")),
        ],
    );
    if body.contains("${caller.") {
        let call = map([("function", quoted("aws:getCallerIdentity"))]);
        let variables = map([("caller", map([("fn::invoke", call)]))]);
        write_map(&mut head, 0, &[("variables".to_owned(), variables)]);
    }
    head + &body
}

fn resource(resource: &Resource) -> Node {
    let mut members =
        vec![("type".to_owned(), quoted(resource.pulumi)), ("properties".to_owned(), properties(&resource.arguments))];
    let mut options = Vec::new();
    if let Some((_, after)) = resource.after {
        options.push(("dependsOn".to_owned(), Node::List(vec![quoted_template(&format!("${{{after}}}"))])));
    }
    if resource.precious {
        options.push(("protect".to_owned(), Node::Scalar("true".to_owned())));
    }
    if !options.is_empty() {
        members.push(("options".to_owned(), Node::Map(options)));
    }
    Node::Map(members)
}

fn properties(arguments: &[Argument]) -> Node {
    let property = |(name, value): &Argument| match value {
        Value::Data(value) => (camel(name), data(value)),
        Value::Document(document) => (camel(name), map([("fn::toJSON", data(document))])),
        Value::Block(block) => (camel(name), properties(block)),
        Value::Blocks { plural, blocks } => {
            ((*plural).to_owned(), Node::List(blocks.iter().map(|block| properties(block)).collect()))
        }
    };
    Node::Map(arguments.iter().map(property).collect())
}

fn data(value: &Data) -> Node {
    match value {
        Data::Text(value) => text(value),
        Data::Flag(flag) => Node::Scalar(flag.to_string()),
        Data::Number(number) => Node::Scalar(number.to_string()),
        Data::List(items) => Node::List(items.iter().map(data).collect()),
        Data::Map(members) => Node::Map(members.iter().map(|(name, value)| (name.clone(), data(value))).collect()),
    }
}

fn text(text: &Text) -> Node {
    let template: String = text
        .0
        .iter()
        .map(|piece| match piece {
            // Nothing in a literal is a template.
            Piece::Literal(literal) => literal.replace("${", "$${"),
            Piece::Reference(reference) => format!("${{{}}}", name_of(*reference)),
        })
        .collect();
    quoted_template(&template)
}

fn name_of(reference: Reference) -> &'static str {
    match reference {
        Reference::KeyArn => "key.arn",
        Reference::KeyId => "key.keyId",
        Reference::Bucket => "bucket.id",
        Reference::Account => "caller.accountId",
    }
}

/// `days_after_initiation` as `daysAfterInitiation`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| {
        let (head, tail) = word.split_at(word.len().min(1));
        camel + &head.to_ascii_uppercase() + tail
    })
}

fn map<const N: usize>(members: [(&str, Node); N]) -> Node {
    Node::Map(members.into_iter().map(|(name, node)| (name.to_owned(), node)).collect())
}

fn quoted(literal: &str) -> Node {
    quoted_template(&literal.replace("${", "$${"))
}

/// A string of JSON is one of YAML.
fn quoted_template(template: &str) -> Node {
    Node::Scalar(serde_json::Value::from(template).to_string())
}

fn write_map(out: &mut String, depth: usize, members: &[(String, Node)]) {
    for (name, node) in members {
        let name = if is_plain(name) { name.clone() } else { serde_json::Value::from(name.as_str()).to_string() };
        out.push_str(&format!("{}{name}:", "  ".repeat(depth)));
        write_below(out, depth, node);
    }
}

/// Whether YAML takes an unquoted name for a text: the operator `Null` of a policy would be nothing at all.
fn is_plain(name: &str) -> bool {
    const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !WORDS.contains(&name)
}

/// What comes after a name and its colon.
fn write_below(out: &mut String, depth: usize, node: &Node) {
    match node {
        Node::Scalar(text) => out.push_str(&format!(" {text}\n")),
        Node::Map(members) if members.is_empty() => out.push_str(" {}\n"),
        Node::List(items) if items.is_empty() => out.push_str(" []\n"),
        Node::Map(members) => {
            out.push('\n');
            write_map(out, depth + 1, members);
        }
        Node::List(items) => {
            out.push('\n');
            for item in items {
                let indent = "  ".repeat(depth + 1);
                match item {
                    Node::Scalar(text) => out.push_str(&format!("{indent}- {text}\n")),
                    Node::Map(members) if !members.is_empty() => {
                        let mut block = String::new();
                        write_map(&mut block, depth + 2, members);
                        // The first member stands beside the dash, which is as wide as one step.
                        out.push_str(&format!("{indent}- {}", block.trim_start()));
                    }
                    Node::Map(_) | Node::List(_) => {
                        out.push_str(&format!("{indent}-"));
                        write_below(out, depth + 1, item);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_spelled_as_pulumi_spells_them() {
        for (terraform, pulumi) in [
            ("bucket", "bucket"),
            ("days_after_initiation", "daysAfterInitiation"),
            ("kms_master_key_id", "kmsMasterKeyId"),
            ("apply_server_side_encryption_by_default", "applyServerSideEncryptionByDefault"),
        ] {
            assert_eq!(camel(terraform), pulumi);
        }
    }

    #[test]
    fn name_that_yaml_takes_for_something_else_is_quoted() {
        for (name, plain) in [("bucket", true), ("bucket_name", true), ("Null", false), ("null", false), ("on", false)]
        {
            assert_eq!(is_plain(name), plain, "{name}");
        }
    }

    #[test]
    fn lists_of_maps_stand_beside_their_dashes() {
        let list = Node::List(vec![map([("a", quoted("1")), ("b", map([]))]), quoted("x")]);
        let mut out = String::new();
        write_map(&mut out, 0, &[("aws:tag".to_owned(), list)]);
        assert_eq!(out, "\"aws:tag\":\n  - a: \"1\"\n    b: {}\n  - \"x\"\n");
    }
}
