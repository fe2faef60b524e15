//! What the bucket and its key are to have, beyond what every bucket has.

use super::Secured;
use super::reader::Reader;
use crate::provision::{AccessLog, ObjectLock, Options, Profile, Retention};

impl Reader {
    /// Reads all of [`Secured`]; options that would lock everyone out, or that contradict each other, are problems.
    pub(super) fn secured(&mut self, runtime_principals: &[String], is_s3: bool) -> Secured {
        let profile = self.parsed("policy_profile", "explicit or default_ok", |text| match text {
            "explicit" => Some(Profile::Explicit),
            "default_ok" => Some(Profile::DefaultOk),
            _ => None,
        });
        let administrators = self.principals("admin_principals");
        let rotation_days = i32::try_from(self.number("key_rotation_days", 90..=2560, 365)).unwrap_or(365);
        let options = Options {
            perimeter: self.flag("perimeter"),
            vpc_endpoint: self.parsed("vpc_endpoint", "the id of a VPC endpoint (vpce-…)", |text| {
                let id = text.strip_prefix("vpce-")?;
                (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())).then(|| text.to_owned())
            }),
            object_lock: self.object_lock(),
            access_log: self.access_log(),
            event_bridge: self.flag("event_bridge"),
            cors_origins: self.cors_origins(),
            intelligent_tiering: self.flag("intelligent_tiering"),
        };
        if options.perimeter && (runtime_principals.is_empty() || administrators.is_empty()) {
            self.problem(
                "perimeter needs runtime_principals and admin_principals: without them it would lock everyone out"
                    .to_owned(),
            );
        }
        if options.vpc_endpoint.is_some() && administrators.is_empty() {
            self.problem(
                "vpc_endpoint needs admin_principals: whoever may come from outside the VPC to repair it".to_owned(),
            );
        }
        if !is_s3 && (options.event_bridge || options.access_log.is_some()) {
            self.problem(
                "the embedded store sends no events and writes no access logs: event_bridge and access_log_bucket need \
                 storage = s3"
                    .to_owned(),
            );
        }
        if !is_s3 && options.vpc_endpoint.is_some() {
            self.problem("the embedded store is in no VPC: vpc_endpoint needs storage = s3".to_owned());
        }
        Secured { profile, administrators, rotation_days, options }
    }

    pub(super) fn principals(&mut self, key: &str) -> Vec<String> {
        let what = "IAM role or user ARNs, separated by commas";
        let parsed = self.parsed(key, what, |text| {
            let items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
            items.iter().all(|item| item.starts_with("arn:") && item.contains(":iam:")).then_some(items)
        });
        parsed.unwrap_or_default()
    }

    fn object_lock(&mut self) -> Option<ObjectLock> {
        let mode = self.parsed("object_lock_mode", "governance or compliance", |text| match text {
            "governance" => Some(Retention::Governance),
            "compliance" => Some(Retention::Compliance),
            _ => None,
        });
        let days = self.parsed("object_lock_days", "a whole number from 1 to 36500", |text| {
            text.parse().ok().filter(|days| (1..=36_500).contains(days))
        });
        match (mode, days) {
            (Some(mode), Some(days)) => Some(ObjectLock { mode, days }),
            (None, None) => None,
            _ => {
                self.problem("object_lock_mode and object_lock_days belong together: set both, or neither".to_owned());
                None
            }
        }
    }

    fn access_log(&mut self) -> Option<AccessLog> {
        let prefix = self.parsed("access_log_prefix", "a key prefix that ends in /", |text| {
            (text.ends_with('/') && !text.starts_with('/')).then(|| text.to_owned())
        });
        let bucket = self.text("access_log_bucket");
        if bucket.is_none() && prefix.is_some() {
            self.problem("access_log_prefix needs access_log_bucket".to_owned());
        }
        Some(AccessLog { bucket: bucket?, prefix: prefix.unwrap_or_else(|| "strongroom/".to_owned()) })
    }

    fn cors_origins(&mut self) -> Vec<String> {
        let what = "exact origins (https://host or https://host:port; http:// for localhost and 127.0.0.1 only), separated \
                    by commas; no wildcards";
        let parsed = self.parsed("cors_origins", what, |text| {
            let items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
            let exact = |origin: &String| {
                // Plain HTTP crosses no network on this machine only; a page that came over one may be anybody's.
                let local = |host: &&str| matches!(host.split(':').next(), Some("localhost" | "127.0.0.1"));
                let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://").filter(local));
                host.is_some_and(|host| !host.is_empty() && !host.contains(['*', '/', '?', '#', '@', ' ']))
            };
            items.iter().all(exact).then_some(items)
        });
        parsed.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, InvalidConfig, from_sources};

    fn read(file: &str) -> Result<Config, InvalidConfig> {
        from_sources(Some(file), std::iter::empty(), &[])
    }

    #[test]
    fn every_option_is_off_until_it_is_asked_for() {
        let secured = read("").unwrap().secured;
        assert_eq!(secured.options, Options::default());
        assert_eq!((secured.profile, secured.rotation_days), (None, 365));
    }

    #[test]
    fn every_option_can_be_asked_for() {
        let secured = read(
            "storage = 's3'\nbucket = 'models-1'\npolicy_profile = 'default_ok'\nkey_rotation_days = 90\nperimeter = true\n\
             runtime_principals = 'arn:aws:iam::123456789012:role/run'\nadmin_principals = ['arn:aws:iam::123456789012:role/a']\n\
             vpc_endpoint = 'vpce-0a1b'\nobject_lock_mode = 'governance'\nobject_lock_days = 30\naccess_log_bucket = 'logs'\n\
             event_bridge = true\ncors_origins = 'https://a.example, https://b.example:8443'\nintelligent_tiering = true",
        )
        .unwrap()
        .secured;
        assert_eq!(secured.profile, Some(Profile::DefaultOk));
        assert_eq!(secured.rotation_days, 90);
        let options = secured.options;
        assert!(options.perimeter && options.event_bridge && options.intelligent_tiering);
        assert_eq!(options.vpc_endpoint.as_deref(), Some("vpce-0a1b"));
        assert_eq!(options.object_lock, Some(ObjectLock { mode: Retention::Governance, days: 30 }));
        assert_eq!(options.access_log, Some(AccessLog { bucket: "logs".into(), prefix: "strongroom/".into() }));
        assert_eq!(options.cors_origins, ["https://a.example", "https://b.example:8443"]);
    }

    #[test]
    fn option_that_would_lock_everyone_out_or_says_half_is_a_problem() {
        for (file, part) in [
            ("perimeter = true", "admin_principals"),
            ("object_lock_mode = 'compliance'", "belong together"),
            ("access_log_prefix = 'a/'", "access_log_bucket"),
            ("cors_origins = '*'", "no wildcards"),
            ("cors_origins = 'http://a.example'", "http:// for localhost"),
            ("cors_origins = 'http://localhost.a.example:80'", "http:// for localhost"),
            ("cors_origins = 'http://localhost@a.example'", "http:// for localhost"),
            (
                "kms_key_arn = 'arn:aws:kms:us-east-1:123456789012:key/0e6b9e6a-1111-2222-3333-444455556666'\n\
                 key_rotation_days = 100",
                "set its rotation yourself",
            ),
            ("vpc_endpoint = 'vpce-1'", "admin_principals"),
            ("event_bridge = true", "sends no events"),
            ("key_rotation_days = 30", "90 to 2560"),
            ("embedded_identity = 'x'", "identities_file"),
        ] {
            let text = read(file).unwrap_err().to_string();
            assert!(text.contains(part), "{file}: {text}");
        }
    }

    #[test]
    fn plain_http_is_an_origin_of_this_machine_only() {
        let options = read("cors_origins = 'http://localhost:3000, http://127.0.0.1'").unwrap().secured.options;
        assert_eq!(options.cors_origins, ["http://localhost:3000", "http://127.0.0.1"]);
    }

    #[test]
    fn retention_that_nobody_can_end_is_warned_of() {
        let lock = |mode: &str| read(&format!("object_lock_mode = '{mode}'\nobject_lock_days = 36500")).unwrap();
        assert_eq!(lock("governance").warnings(), Vec::<String>::new());
        let warnings = lock("compliance").warnings();
        assert!(warnings[0].contains("root included") && warnings[0].contains("36500 days"), "{warnings:?}");
    }
}
