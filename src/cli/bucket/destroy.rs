//! `strongroom bucket destroy`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::Ended;
use crate::app;
use crate::cli::{Settings, print, runtime};
use crate::config::{Config, Storage};
use crate::provision::destroy::Destroyed;

/// Schedule the deletion of the bucket's KMS key, 10 days ahead; refused unless the bucket is empty.
#[derive(Debug, Args)]
pub(in crate::cli) struct Destroy {
    #[command(flatten)]
    settings: Settings,
    /// The bucket's name, typed again: what is encrypted under its key is lost for ever with the key.
    #[arg(long, value_name = "BUCKET")]
    i_understand: String,
}

impl Destroy {
    pub(super) fn run(self) -> Ended {
        let config = super::prepare(&self.settings)?;
        let destroyed = runtime()?.block_on(app::bucket::destroy(&config, &self.i_understand))?;
        print(&text(&destroyed, &config))?;
        if matches!(config.storage, Storage::Embedded { .. }) {
            print("(on the embedded store: while `strongroom embedded` runs, with the --endpoint-url that it says)\n")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What was done, what was not, and how to take it back.
fn text(destroyed: &Destroyed, config: &Config) -> String {
    let bucket = &config.bucket;
    let Destroyed { key, alias, ends, already, removed, left, bucket_exists } = destroyed;
    let when = ends.map_or_else(|| "within days".to_owned(), |ends| format!("on {ends}"));
    let mut text = if *already {
        format!("nothing was done: KMS key {key} is already scheduled for deletion, and ends {when}\n")
    } else {
        format!(
            "removed        {removed} object(s) of our own: the claim, and what probes left\n\
             scheduled      KMS key {key} is deleted {when}, and its alias {alias} with it\n"
        )
    };
    if !left.is_empty() {
        let _infallible = writeln!(text, "WARNING        the bucket still holds {left}: lost when the key is deleted");
    }
    text.push_str(
        "WARNING        whatever else is encrypted under this key, in other buckets too, is lost with it: no list says \
         what that is\n\nNot deleted:\n",
    );
    if *bucket_exists {
        let _infallible = writeln!(text, "  the bucket {bucket} (aws s3api delete-bucket --bucket {bucket})");
    }
    if left.audit_heads > 0 {
        let heads = left.audit_heads;
        let _infallible =
            writeln!(text, "  {heads} object(s) below audit/ there, whose names tell where the audit log ended");
    }
    let _infallible = write!(
        text,
        "  the catalog {} and the data directory {}\n    (delete them when the bucket is gone; an embedded store is in \
         the directory, with everything in it)\n  \
         IAM roles and their policies (aws iam delete-role-policy --role-name ROLE --policy-name POLICY,\n    \
         then aws iam delete-role --role-name ROLE)\n\n\
         To keep the key, until then:\n  \
         aws kms cancel-key-deletion --key-id {key}\n  \
         aws kms enable-key --key-id {key}\n",
        config.catalog_url(),
        config.data_dir.display()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::destroy::Contents;

    #[test]
    fn the_end_says_what_was_not_deleted_and_how_to_take_it_back() {
        let destroyed = Destroyed {
            key: "arn:aws:kms:eu-west-1:123456789012:key/1".parse().unwrap(),
            alias: "alias/ml".to_owned(),
            ends: Some(crate::domain::Timestamp::from_millis(0)),
            already: false,
            removed: 1,
            left: Contents::default(),
            bucket_exists: true,
        };
        let environment = [("STRONGROOM_BUCKET".to_owned(), "ml-1".to_owned())].into_iter();
        let config = crate::config::from_sources(None, environment, &[]).unwrap();
        let told = text(&destroyed, &config);
        for part in [
            "1970-01-01",
            "alias/ml",
            "delete-bucket --bucket ml-1",
            "cancel-key-deletion",
            "enable-key",
            "the catalog sqlite:./strongroom-data/catalog.sqlite and the data directory ./strongroom-data",
            "aws iam delete-role ",
            "in other buckets too",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("still holds"));
        let again = Destroyed { already: true, left: Contents { versions: 2, ..Contents::default() }, ..destroyed };
        let told = text(&again, &config);
        assert!(
            told.starts_with("nothing was done") && told.contains("WARNING        the bucket still holds 2"),
            "{told}"
        );
    }
}
