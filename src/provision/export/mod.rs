//! The desired state as code of others: a team that forbids self-provisioning applies it and runs with `verify`.
//!
//! [`resources`] says what there is, once; [`terraform`] and [`pulumi`] write it down. Nothing is asked of the account:
//! what only the account knows (its number, the ARN of a key that is yet to be made) is a reference.

mod pulumi;
mod resources;
mod terraform;

use super::spec::Wanted;

/// Whose code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// HCL for Terraform and OpenTofu.
    Terraform,
    /// A Pulumi program in YAML.
    Pulumi,
}

/// First lines of what is written.
const HEADER: &str = "\
# Written by `strongroom bucket export`: the bucket and the KMS key that Strongroom wants, for its configuration.
# Apply this, then run Strongroom with STRONGROOM_PROVISION=verify: it proves the bucket and changes nothing.
# Export again when the configuration or the release changes; do not edit what stands here.
";

/// Where the policy lets only the administrators change the bucket.
const CLOSED: &str = "\
# Whoever applies this must be one of admin_principals: the bucket policy keeps everybody else from changing the bucket.
";

/// The bucket and the key that `wanted` describes, as code; byte for byte the same for the same wish.
pub fn export(format: Format, wanted: &Wanted) -> String {
    let resources = resources::of(wanted);
    let mut text = HEADER.to_owned();
    if wanted.options.perimeter || wanted.options.vpc_endpoint.is_some() {
        text.push_str(CLOSED);
    }
    text.push_str(&match format {
        Format::Terraform => terraform::write(wanted, &resources),
        Format::Pulumi => pulumi::write(wanted, &resources),
    });
    text
}

/// Text, line by line, in steps of two spaces.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, depth: usize, text: &str) {
        for part in ["  ".repeat(depth).as_str(), text, "\n"] {
            self.0.push_str(part);
        }
    }

    fn blank(&mut self) {
        self.0.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::spec::{BackEnd, KeyWish};

    fn plain() -> Wanted {
        Wanted::new("ml", "eu-west-1", BackEnd::Aws)
    }

    #[test]
    fn key_and_account_are_references_when_the_key_is_ours_and_literals_when_it_was_brought() {
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/0f-1";
        let brought = Wanted { key: KeyWish::Brought(arn.parse().unwrap()), ..plain() };
        for (format, reference) in [(Format::Terraform, "${aws_kms_key.models.arn}"), (Format::Pulumi, "${key.arn}")] {
            let text = export(format, &plain());
            assert!(text.contains(reference) && !text.contains("arn:aws:kms"), "{text}");
            let text = export(format, &brought);
            assert!(text.contains(arn) && !text.contains(reference), "{text}");
        }
    }

    #[test]
    fn account_is_asked_for_only_where_the_key_policy_needs_it() {
        for (format, word) in [(Format::Terraform, "aws_caller_identity"), (Format::Pulumi, "getCallerIdentity")] {
            assert!(!export(format, &plain()).contains(word));
            let limited = Wanted { runtime_principals: vec!["arn:aws:iam::000000000000:role/serve".into()], ..plain() };
            let text = export(format, &limited);
            assert!(text.contains(word), "{text}");
            assert!(text.contains("arn:aws:iam::000000000000:role/serve"), "a principal's account is its own: {text}");
        }
    }
}
