//! A Pulumi program in YAML. Every text is quoted, so that no word is taken for a number or a truth value.

use super::Lines;
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
    let mut body = Lines::default();
    write_map(&mut body, 0, &[("resources".to_owned(), Node::Map(all)), ("outputs".to_owned(), outputs)]);
    let mut head = vec![
        ("name".to_owned(), quoted("strongroom-bucket")),
        ("runtime".to_owned(), quoted("yaml")),
        ("description".to_owned(), quoted("The bucket and the KMS key that Strongroom keeps models in")),
    ];
    if body.0.contains("${caller.") {
        let call = map([("function", quoted("aws:getCallerIdentity"))]);
        head.push(("variables".to_owned(), map([("caller", map([("fn::invoke", call)]))])));
    }
    let mut text = Lines::default();
    write_map(&mut text, 0, &head);
    text.0 + &body.0
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

fn write_map(out: &mut Lines, depth: usize, members: &[(String, Node)]) {
    for (name, node) in members {
        write_member(out, depth, "", name, node);
    }
}

/// One name and its value; `dash` begins an item of a list, and is as wide as one step.
fn write_member(out: &mut Lines, depth: usize, dash: &str, name: &str, node: &Node) {
    let name = if is_plain(name) { name.to_owned() } else { serde_json::Value::from(name).to_string() };
    let inner = depth + dash.len() / 2 + 1;
    match node {
        Node::Scalar(text) => out.line(depth, &format!("{dash}{name}: {text}")),
        Node::Map(members) if members.is_empty() => out.line(depth, &format!("{dash}{name}: {{}}")),
        Node::List(items) if items.is_empty() => out.line(depth, &format!("{dash}{name}: []")),
        Node::Map(members) => {
            out.line(depth, &format!("{dash}{name}:"));
            write_map(out, inner, members);
        }
        Node::List(items) => {
            out.line(depth, &format!("{dash}{name}:"));
            for item in items {
                write_item(out, inner, item);
            }
        }
    }
}

/// One item of a list.
fn write_item(out: &mut Lines, depth: usize, item: &Node) {
    match item {
        Node::Scalar(text) => out.line(depth, &format!("- {text}")),
        Node::Map(members) => {
            for (index, (name, node)) in members.iter().enumerate() {
                let (depth, dash) = if index == 0 { (depth, "- ") } else { (depth + 1, "") };
                write_member(out, depth, dash, name, node);
            }
        }
        // No list of ours holds another one; if one did, YAML would have it on a line of its own.
        Node::List(items) => {
            out.line(depth, "-");
            for item in items {
                write_item(out, depth + 1, item);
            }
        }
    }
}

/// Whether YAML takes an unquoted name for a text: the operator `Null` of a policy would be nothing at all.
fn is_plain(name: &str) -> bool {
    const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !WORDS.contains(&name)
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
        let mut out = Lines::default();
        write_map(&mut out, 0, &[("aws:tag".to_owned(), list)]);
        assert_eq!(out.0, "\"aws:tag\":\n  - a: \"1\"\n    b: {}\n  - \"x\"\n");
    }
}
