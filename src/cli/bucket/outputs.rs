//! `strongroom bucket outputs`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Ended;
use crate::app;
use crate::cli::{Settings, print, runtime};

/// Print the bucket's name, its region, its key and the key's alias.
#[derive(Debug, Args)]
pub(in crate::cli) struct Outputs {
    #[command(flatten)]
    settings: Settings,
    /// How to print them.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// Lines that a shell reads: set -a; . <(strongroom bucket outputs --format env)
    ///
    /// They configure nothing but the bucket's name: strongroom's own key does not become one that you brought.
    Env,
    /// Lines for the file that $GITHUB_OUTPUT names.
    Github,
}

impl Outputs {
    pub(super) fn run(self) -> Ended {
        let config = super::prepare(&self.settings)?;
        let outputs = runtime()?.block_on(app::bucket::outputs(&config))?;
        print(&match self.format {
            Format::Text => text(&outputs),
            Format::Json => serde_json::to_string_pretty(&outputs)? + "\n",
            Format::Env => env(&outputs),
            Format::Github => github(&outputs),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The outputs, one a line.
pub(in crate::cli) fn text(outputs: &app::Outputs) -> String {
    format!(
        "bucket         {}\nregion         {}\nkms key        {}\nkms alias      {}\n",
        outputs.bucket,
        outputs.region,
        outputs.key_arn,
        outputs.key_alias.as_deref().unwrap_or("- (the key is your own)")
    )
}

fn env(outputs: &app::Outputs) -> String {
    lines([
        ("STRONGROOM_BUCKET", Some(quoted(&outputs.bucket))),
        ("AWS_REGION", Some(quoted(&outputs.region))),
        ("KMS_KEY_ARN", Some(quoted(&outputs.key_arn))),
        ("KMS_KEY_ALIAS", outputs.key_alias.as_deref().map(quoted)),
    ])
}

/// None of the values can hold a line's end: they are names and ARNs that were checked.
fn github(outputs: &app::Outputs) -> String {
    lines([
        ("bucket", Some(outputs.bucket.clone())),
        ("region", Some(outputs.region.clone())),
        ("kms_key_arn", Some(outputs.key_arn.clone())),
        ("kms_key_alias", outputs.key_alias.clone()),
    ])
}

fn lines(pairs: [(&str, Option<String>); 4]) -> String {
    pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}\n", value?))).collect()
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(alias: Option<&str>) -> app::Outputs {
        app::Outputs {
            bucket: "ml".to_owned(),
            region: "eu-west-1".to_owned(),
            key_arn: "arn:aws:kms:eu-west-1:123456789012:key/1".to_owned(),
            key_alias: alias.map(str::to_owned),
        }
    }

    #[test]
    fn env_names_no_setting_but_the_bucket_and_github_the_outputs() {
        assert_eq!(
            env(&outputs(Some("alias/ml"))),
            "STRONGROOM_BUCKET=ml\nAWS_REGION=eu-west-1\n\
             KMS_KEY_ARN=arn:aws:kms:eu-west-1:123456789012:key/1\nKMS_KEY_ALIAS=alias/ml\n"
        );
        assert_eq!(
            github(&outputs(None)),
            "bucket=ml\nregion=eu-west-1\nkms_key_arn=arn:aws:kms:eu-west-1:123456789012:key/1\n"
        );
    }

    #[test]
    fn what_a_shell_would_read_is_quoted() {
        assert_eq!(quoted("a b$(c)'d"), r"'a b$(c)'\''d'");
        assert_eq!(quoted(""), "''");
    }
}
