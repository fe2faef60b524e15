//! The changes to the bucket.

use aws_sdk_s3::types::{BucketVersioningStatus, ObjectOwnership, ServerSideEncryption};

use super::{MAX_POLICY_BYTES, Plan, Planner, Standing, Tags, Unplannable, refuse_downgrade};
use crate::provision::change::{Amiss, Change, Step};
use crate::provision::compare::{Comparison, compare, merged};
use crate::provision::observe::{BucketSettings, DefaultEncryption, Observed, ObservedBucket, PublicAccess, Setting};
use crate::provision::policy::{Sid, Statement};
use crate::provision::spec::{BucketSpec, Mode, TAG_MANAGED_BY, TAG_MANAGED_BY_US};

/// What brings the bucket to what is wanted.
///
/// # Errors
/// Every setting that could not be read, and what would lock us out; not in a mode that changes nothing.
pub fn plan_bucket(want: &BucketSpec, have: &ObservedBucket, mode: Mode) -> Result<Plan, Unplannable> {
    if mode.changes() && !want.secure_transport {
        return Err(Unplannable::PlainHttp);
    }
    let mut planner = Planner::new(&want.bucket, mode);
    let unset;
    let settings = match have {
        ObservedBucket::Present(settings) => &**settings,
        ObservedBucket::Absent if mode.changes() => {
            let object_lock = want.options.object_lock.is_some();
            planner.take(Step::CreateBucket { region: want.region.clone(), object_lock });
            unset = BucketSettings::unset();
            &unset
        }
        ObservedBucket::Absent => return Ok(Plan::default()),
    };
    if mode == Mode::Repair {
        refuse_downgrade(&settings.tags)?;
    }
    planner.judge_ownership_of(settings);
    planner.settle(&settings.public_access, differs_from(&PublicAccess::BLOCKED), Step::BlockPublicAccess);
    let enforced = |have: &ObjectOwnership| match have {
        ObjectOwnership::BucketOwnerEnforced => Standing::InOrder,
        other => Standing::Different(other.to_string()),
    };
    planner.settle(&settings.ownership, enforced, Step::EnforceOwnership);
    let wanted = wanted_encryption(want);
    let amiss = settings.encryption.known().and_then(|have| amiss(&wanted, have));
    let stands = |have: &DefaultEncryption| match amiss {
        None => Standing::InOrder,
        Some(amiss) => Standing::Different(told_encryption(have, amiss)),
    };
    let step = Step::EncryptByDefault { to: wanted.clone(), amiss: amiss.unwrap_or(Amiss::Key) };
    planner.settle(&settings.encryption, stands, step);
    let enabled = |have: &BucketVersioningStatus| match have {
        BucketVersioningStatus::Enabled => Standing::InOrder,
        other => Standing::Different(other.to_string()),
    };
    planner.settle(&settings.versioning, enabled, Step::EnableVersioning);
    planner.settle_object_lock(&want.options, settings);
    planner.settle_lifecycle(&want.options, &settings.lifecycle);
    planner.settle_options(&want.options, &settings.options);
    planner.settle_bucket_tags(&want.tags, settings);
    // Last: it may keep us out of everything else, and its names are ours only in a bucket that is marked ours.
    planner.settle_policy(want, settings)?;
    planner.finish()
}

/// What default encryption must be.
pub(in crate::provision) fn wanted_encryption(want: &BucketSpec) -> DefaultEncryption {
    DefaultEncryption {
        algorithm: ServerSideEncryption::AwsKms,
        key: Some(want.key.as_str().to_owned()),
        bucket_key: true,
        sse_c_blocked: want.block_sse_c,
    }
}

impl Planner<'_> {
    /// In `create`, a bucket that is not marked ours and holds objects is somebody's: nothing in it is set.
    fn judge_ownership_of(&mut self, bucket: &BucketSettings) {
        if self.mode != Mode::Create || bucket.taken_for_ours() {
            return;
        }
        match &bucket.occupied {
            Observed::Known(occupied) => self.completes = !occupied,
            Observed::Absent | Observed::Unsupported => {}
            Observed::Unreadable(reason) => self.unreadable.push((Setting::Contents, reason.clone())),
        }
    }

    /// Ours beside those of others; a bucket with objects that was not ours is taken over in so many words.
    fn settle_bucket_tags(&mut self, want: &Tags, bucket: &BucketSettings) {
        let found = bucket.tags.known().cloned().unwrap_or_default();
        let step = |set: Tags, takes_over| {
            let mut all = found.clone();
            all.extend(set.clone());
            Step::TagBucket { all, set, takes_over }
        };
        let read = matches!(bucket.tags, Observed::Known(_) | Observed::Absent);
        if self.mode == Mode::Repair && read && !bucket.marked_ours() && bucket.occupied == Observed::Known(true) {
            let was = format!("not tagged {TAG_MANAGED_BY}={TAG_MANAGED_BY_US}");
            self.settle(&Observed::Known(()), |()| Standing::Different(was), step(want.clone(), true));
        } else {
            self.settle_tags(want, &bucket.tags, |set| step(set, false));
        }
    }

    /// Ours into the one in force, whose other statements are kept.
    fn settle_policy(&mut self, want: &BucketSpec, bucket: &BucketSettings) -> Result<(), Unplannable> {
        let name = || want.bucket.clone();
        let compared = bucket.policy.known().map(|text| compare(&want.policy, text)).transpose();
        let compared = match compared {
            Ok(compared) => compared.unwrap_or_default(),
            Err(reason) if self.mode == Mode::Repair => {
                return Err(Unplannable::PolicyForeign { bucket: name(), reason });
            }
            Err(reason) => {
                let step = put_policy(want, &Comparison::default());
                self.settle(&bucket.policy, |_| Standing::Different(reason.to_string()), step);
                return Ok(());
            }
        };
        if self.mode.changes() && !compared.clashes.is_empty() && !bucket.taken_for_ours() {
            return Err(Unplannable::PolicyConflict { bucket: name(), clashes: compared.clashes });
        }
        let standing = match told(&compared) {
            _ if compared.in_order() => Standing::InOrder,
            told if compared.clashes.is_empty() => Standing::Lacking(told),
            told => Standing::Different(told),
        };
        let before = self.plan.changes.len();
        self.settle(&bucket.policy, |_| standing, put_policy(want, &compared));
        match self.plan.changes[before..].iter().map(Change::step).next() {
            Some(Step::PutBucketPolicy { text, .. }) if text.len() > MAX_POLICY_BYTES => {
                let ours = want.policy.render().len();
                Err(Unplannable::PolicyTooLong { bucket: name(), bytes: text.len(), ours })
            }
            _ => Ok(()),
        }
    }
}

fn differs_from<T: PartialEq + std::fmt::Display>(want: &T) -> impl Fn(&T) -> Standing {
    move |have| if have == want { Standing::InOrder } else { Standing::Different(have.to_string()) }
}

/// What is wrong with default encryption, the worst first.
fn amiss(wanted: &DefaultEncryption, have: &DefaultEncryption) -> Option<Amiss> {
    let by_name = |key: &String| {
        let id = wanted.key.as_deref().and_then(|arn| arn.rsplit('/').next());
        key.starts_with("alias/") || key.contains(":alias/") || Some(key.as_str()) == id
    };
    if have.algorithm != wanted.algorithm {
        Some(Amiss::Key)
    } else if have.key != wanted.key {
        Some(if have.key.as_ref().is_some_and(by_name) { Amiss::KeyName } else { Amiss::Key })
    } else if !have.bucket_key {
        Some(Amiss::NoBucketKey)
    } else {
        (wanted.sse_c_blocked && !have.sse_c_blocked).then_some(Amiss::CustomerKeys)
    }
}

fn told_encryption(have: &DefaultEncryption, amiss: Amiss) -> String {
    let name = match &have.key {
        Some(key) if amiss == Amiss::KeyName && key.contains("alias/") => "an alias",
        _ if amiss == Amiss::KeyName => "its bare id",
        _ => return have.in_full(),
    };
    format!("{}; it names the key by {name} instead of its full ARN", have.in_full())
}

fn put_policy(want: &BucketSpec, in_force: &Comparison) -> Step {
    Step::PutBucketPolicy {
        text: merged(&want.policy, &in_force.foreign),
        ours: want.policy.statements().iter().map(Statement::sid).collect(),
        kept: in_force.foreign.len(),
        replaced: in_force.clashes.clone(),
    }
}

fn told(comparison: &Comparison) -> String {
    let names = |sids: Vec<Sid>| sids.into_iter().map(Sid::as_str).collect::<Vec<_>>().join(", ");
    let clashes: Vec<Sid> = comparison.clashes.iter().map(|clash| clash.sid).collect();
    let missing = comparison.missing.iter().copied().filter(|sid| !clashes.contains(sid)).collect::<Vec<_>>();
    let mut told = Vec::new();
    if !missing.is_empty() {
        told.push(format!("without {}", names(missing)));
    }
    if !clashes.is_empty() {
        told.push(format!("with altered or outdated {}", names(clashes)));
    }
    told.join("; ")
}

#[cfg(test)]
pub(in crate::provision) mod tests {
    use std::collections::BTreeMap;

    use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};

    use super::*;
    use crate::provision::change::Kind;
    use crate::provision::observe::{Lifecycle, ObservedOptions, cors_rule, with_event_bridge};
    use crate::provision::plan::lifecycle_rules;
    use crate::provision::spec::{
        AccessLog, BackEnd, LIFECYCLE_RULE_ID, ObjectLock, Options, Retention, SPEC_VERSION, TAG_SPEC_VERSION, Wanted,
    };

    pub(in crate::provision) fn spec() -> BucketSpec {
        with_options(Options::default())
    }

    pub(in crate::provision) fn with_options(options: Options) -> BucketSpec {
        let key = "arn:aws:kms:eu-west-1:123456789012:key/1".parse().unwrap();
        let role = |name: &str| vec![format!("arn:aws:iam::123456789012:role/{name}")];
        let wanted = Wanted::new("ml", "eu-west-1", BackEnd::Aws);
        let wanted = Wanted { options, runtime_principals: role("run"), administrators: role("admin"), ..wanted };
        BucketSpec::new(&wanted, key)
    }

    pub(in crate::provision) fn all_options() -> Options {
        Options {
            perimeter: true,
            vpc_endpoint: Some("vpce-1".to_owned()),
            object_lock: Some(ObjectLock { mode: Retention::Governance, days: 30 }),
            access_log: Some(AccessLog { bucket: "logs".to_owned(), prefix: "ml/".to_owned() }),
            event_bridge: true,
            cors_origins: vec!["https://models.example".to_owned()],
            intelligent_tiering: true,
        }
    }

    fn our_rules() -> Lifecycle {
        Lifecycle { rules: lifecycle_rules(&Options::default()), transition_minimum: None }
    }

    /// A bucket exactly as `spec` wants it.
    pub(in crate::provision) fn in_order(spec: &BucketSpec) -> BucketSettings {
        BucketSettings {
            public_access: Observed::Known(PublicAccess::BLOCKED),
            ownership: Observed::Known(ObjectOwnership::BucketOwnerEnforced),
            encryption: Observed::Known(wanted_encryption(spec)),
            versioning: Observed::Known(BucketVersioningStatus::Enabled),
            policy: Observed::Known(spec.policy.render()),
            lifecycle: Observed::Known(Lifecycle { rules: lifecycle_rules(&spec.options), transition_minimum: None }),
            tags: Observed::Known(spec.tags.clone()),
            options: ObservedOptions {
                object_lock: Observed::Known(spec.options.object_lock),
                access_log: spec.options.access_log.clone().map_or(Observed::Absent, Observed::Known),
                notifications: if spec.options.event_bridge {
                    Observed::Known(with_event_bridge(None))
                } else {
                    Observed::Absent
                },
                cors: Observed::Known(vec![cors_rule(&spec.options.cors_origins)]),
            },
            occupied: Observed::Known(true),
        }
    }

    fn present(settings: BucketSettings) -> ObservedBucket {
        ObservedBucket::Present(Box::new(settings))
    }

    fn settings_of(plan: &Plan) -> Vec<Setting> {
        plan.changes.iter().filter_map(Change::setting).collect()
    }

    fn changes(spec: &BucketSpec, have: &ObservedBucket, mode: Mode) -> Vec<Change> {
        plan_bucket(spec, have, mode).unwrap().changes
    }

    fn steps(plan: &Plan) -> Vec<&Step> {
        plan.changes.iter().map(Change::step).collect()
    }

    type Spoil = fn(&mut BucketSettings);

    const ORDER: [Setting; 7] = [
        Setting::PublicAccessBlock,
        Setting::Ownership,
        Setting::DefaultEncryption,
        Setting::Versioning,
        Setting::Lifecycle,
        Setting::Tags,
        Setting::Policy,
    ];

    /// Per setting: how it is absent, different, unreadable, unsupported.
    const SPOILED: [(Setting, Spoil, Spoil, Spoil, Spoil); 7] = [
        (
            Setting::PublicAccessBlock,
            |b| b.public_access = Observed::Absent,
            |b| b.public_access = Observed::Known(PublicAccess { block_policy: false, ..PublicAccess::BLOCKED }),
            |b| b.public_access = Observed::Unreadable("403".into()),
            |b| b.public_access = Observed::Unsupported,
        ),
        (
            Setting::Ownership,
            |b| b.ownership = Observed::Absent,
            |b| b.ownership = Observed::Known(ObjectOwnership::ObjectWriter),
            |b| b.ownership = Observed::Unreadable("403".into()),
            |b| b.ownership = Observed::Unsupported,
        ),
        (
            Setting::DefaultEncryption,
            |b| b.encryption = Observed::Absent,
            |b| {
                b.encryption = Observed::Known(DefaultEncryption {
                    key: Some("alias/other".into()),
                    ..wanted_encryption(&spec())
                });
            },
            |b| b.encryption = Observed::Unreadable("403".into()),
            |b| b.encryption = Observed::Unsupported,
        ),
        (
            Setting::Versioning,
            |b| b.versioning = Observed::Absent,
            |b| b.versioning = Observed::Known(BucketVersioningStatus::Suspended),
            |b| b.versioning = Observed::Unreadable("403".into()),
            |b| b.versioning = Observed::Unsupported,
        ),
        (
            Setting::Policy,
            |b| b.policy = Observed::Absent,
            |b| b.policy = Observed::Known(spec().policy.render().replace("aws:kms\"", "AES256\"")),
            |b| b.policy = Observed::Unreadable("403".into()),
            |b| b.policy = Observed::Unsupported,
        ),
        (
            Setting::Lifecycle,
            |b| b.lifecycle = Observed::Absent,
            |b| {
                let mut rules = our_rules();
                rules.rules[0].status = ExpirationStatus::Disabled;
                b.lifecycle = Observed::Known(rules);
            },
            |b| b.lifecycle = Observed::Unreadable("403".into()),
            |b| b.lifecycle = Observed::Unsupported,
        ),
        (
            Setting::Tags,
            // All but the mark itself: without that the bucket would be somebody's.
            |b| b.tags = Observed::Known(BTreeMap::from([(TAG_MANAGED_BY.into(), "strongroom".into())])),
            |b| {
                b.tags = Observed::Known(BTreeMap::from([
                    (TAG_MANAGED_BY.into(), "strongroom".into()),
                    (TAG_SPEC_VERSION.into(), "0".into()),
                ]));
            },
            |b| b.tags = Observed::Unreadable("403".into()),
            |b| b.tags = Observed::Unsupported,
        ),
    ];

    fn spoiled(spoil: Spoil) -> ObservedBucket {
        let mut settings = in_order(&spec());
        spoil(&mut settings);
        present(settings)
    }

    #[test]
    fn bucket_in_order_needs_nothing_in_any_mode() {
        for mode in [Mode::Create, Mode::Repair, Mode::Verify, Mode::Off] {
            assert_eq!(changes(&spec(), &present(in_order(&spec())), mode), []);
        }
    }

    #[test]
    fn absent_bucket_is_made_and_closed_before_anything_else() {
        for mode in [Mode::Create, Mode::Repair] {
            let plan = plan_bucket(&spec(), &ObservedBucket::Absent, mode).unwrap();
            assert!(matches!(steps(&plan)[0], Step::CreateBucket { .. }));
            assert_eq!(settings_of(&plan), ORDER);
        }
        assert_eq!(changes(&spec(), &ObservedBucket::Absent, Mode::Verify), []);
    }

    #[test]
    fn absent_setting_is_made_in_create_and_in_repair() {
        for (setting, absent, ..) in SPOILED {
            for mode in [Mode::Create, Mode::Repair] {
                let plan = plan_bucket(&spec(), &spoiled(absent), mode).unwrap();
                assert_eq!(settings_of(&plan), [setting], "{mode}");
            }
            assert_eq!(changes(&spec(), &spoiled(absent), Mode::Verify), []);
        }
    }

    #[test]
    fn different_setting_is_left_alone_in_create_and_brought_back_in_repair() {
        for (setting, _, different, ..) in SPOILED {
            assert_eq!(changes(&spec(), &spoiled(different), Mode::Create), [], "{setting}");
            for mode in [Mode::Create, Mode::Verify] {
                let left = plan_bucket(&spec(), &spoiled(different), mode).unwrap().left_alone;
                assert_eq!(left.iter().map(|left| left.setting).collect::<Vec<_>>(), [setting], "{mode}");
            }
            let plan = plan_bucket(&spec(), &spoiled(different), Mode::Repair).unwrap();
            assert_eq!((settings_of(&plan), plan.left_alone), (vec![setting], vec![]));
        }
    }

    #[test]
    fn unreadable_setting_is_never_planned_on() {
        for (setting, _, _, unreadable, _) in SPOILED {
            for mode in [Mode::Create, Mode::Repair] {
                let error = plan_bucket(&spec(), &spoiled(unreadable), mode).unwrap_err();
                let Unplannable::Unreadable(which) = &error else { panic!("{error}") };
                assert_eq!(which[0].0, setting);
                assert!(error.to_string().contains(setting.read_action()), "{error}");
            }
            assert_eq!(changes(&spec(), &spoiled(unreadable), Mode::Verify), []);
        }
    }

    #[test]
    fn unsupported_setting_is_not_asked_for_again() {
        for (setting, _, _, _, unsupported) in SPOILED {
            for mode in [Mode::Create, Mode::Repair] {
                assert_eq!(changes(&spec(), &spoiled(unsupported), mode), [], "{setting}");
            }
        }
    }

    #[test]
    fn half_made_bucket_is_completed_in_create() {
        let settings =
            BucketSettings { public_access: Observed::Known(PublicAccess::BLOCKED), ..BucketSettings::unset() };
        let plan = plan_bucket(&spec(), &present(settings), Mode::Create).unwrap();
        assert_eq!(settings_of(&plan), ORDER[1..]);
    }

    #[test]
    fn unmarked_bucket_with_objects_is_somebodys_and_stays_as_it_is_in_create() {
        let theirs = BucketSettings { occupied: Observed::Known(true), ..BucketSettings::unset() };
        assert_eq!(changes(&spec(), &present(theirs.clone()), Mode::Create), []);
        let taken_over = plan_bucket(&spec(), &present(theirs), Mode::Repair).unwrap();
        assert_eq!(settings_of(&taken_over), ORDER);
        let change = taken_over.changes.iter().find(|change| change.setting() == Some(Setting::Tags)).unwrap();
        assert_eq!(change.kind(), Kind::Update);
        assert!(change.to_string().starts_with("take over a bucket that was not strongroom's and holds objects"));
        assert!(change.why().contains("taken over"), "{}", change.why());

        let unknown = BucketSettings { occupied: Observed::Unreadable("403".into()), ..BucketSettings::unset() };
        let error = plan_bucket(&spec(), &present(unknown), Mode::Create).unwrap_err();
        assert!(error.to_string().contains("s3:ListBucketVersions"), "{error}");
    }

    #[test]
    fn tags_and_rules_of_others_are_kept() {
        let mut settings = in_order(&spec());
        let theirs = LifecycleRule::builder().id("theirs").status(ExpirationStatus::Enabled).build().unwrap();
        settings.lifecycle = Observed::Known(Lifecycle { rules: vec![theirs.clone()], transition_minimum: None });
        settings.tags = Observed::Known(BTreeMap::from([
            (TAG_MANAGED_BY.into(), "strongroom".into()),
            ("cost-centre".into(), "7".into()),
        ]));
        let plan = plan_bucket(&spec(), &present(settings), Mode::Create).unwrap();
        let [Step::PutLifecycle(lifecycle), Step::TagBucket { all: tags, .. }] = steps(&plan)[..] else {
            panic!("{plan:?}")
        };
        assert_eq!(lifecycle.rules[0], theirs);
        assert_eq!(lifecycle.rules[1].id(), Some(LIFECYCLE_RULE_ID));
        assert_eq!(tags.get("cost-centre").map(String::as_str), Some("7"));
        assert_eq!(tags.len(), 3);
    }

    #[test]
    fn default_encryption_is_told_by_what_is_wrong_with_it() {
        let wanted = || wanted_encryption(&spec());
        let told = |have: DefaultEncryption| {
            let settings = BucketSettings { encryption: Observed::Known(have), ..in_order(&spec()) };
            let change = changes(&spec(), &present(settings), Mode::Repair).remove(0);
            format!("{} {}", change.from().unwrap(), change.why())
        };
        for (have, parts) in [
            (DefaultEncryption { bucket_key: false, ..wanted() }, ["bucket key off", "call to KMS"]),
            (
                DefaultEncryption { key: Some("alias/ml".into()), ..wanted() },
                ["by an alias instead", "full ARN is looked"],
            ),
            (DefaultEncryption { key: Some("1".into()), ..wanted() }, ["by its bare id instead", "full ARN is looked"]),
            (DefaultEncryption { sse_c_blocked: false, ..wanted() }, ["bucket key on", "clients bring"]),
            (DefaultEncryption { key: Some("2".into()), ..wanted() }, ["under 2,", "another one than ours"]),
        ] {
            let told = told(have);
            assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        }
    }

    fn with_policy(text: &str) -> BucketSettings {
        BucketSettings { policy: Observed::Known(text.to_owned()), ..in_order(&spec()) }
    }

    const THEIRS: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Vpc","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"},{"Sid":"Open","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}]}"#;

    #[test]
    fn statements_of_somebody_else_survive_ours() {
        for mode in [Mode::Create, Mode::Repair] {
            let plan = plan_bucket(&spec(), &present(with_policy(THEIRS)), mode).unwrap();
            let [Step::PutBucketPolicy { text, kept: 2, .. }] = steps(&plan)[..] else { panic!("{plan:?}") };
            assert!(text.contains("\"Vpc\"") && text.contains("\"Open\""));
            assert_eq!((plan.changes[0].kind(), plan.left_alone), (Kind::Update, vec![]));
        }
        let merged = merged(&spec().policy, &compare(&spec().policy, THEIRS).unwrap().foreign);
        assert_eq!(changes(&spec(), &present(with_policy(&merged)), Mode::Repair), []);
    }

    #[test]
    fn statement_under_our_name_is_drift_in_our_bucket_and_a_conflict_in_anothers() {
        let ours = with_policy(&spec().policy.render().replace("aws:kms\"", "AES256\""));
        let left = plan_bucket(&spec(), &present(ours.clone()), Mode::Create).unwrap().left_alone;
        let repaired = plan_bucket(&spec(), &present(ours.clone()), Mode::Repair).unwrap();
        assert_eq!(settings_of(&repaired), [Setting::Policy]);
        // Both sides, before one is overwritten.
        let change = &repaired.changes[0];
        let (from, to) = (change.from().unwrap(), change.to());
        assert_eq!((&left[0].was, &left[0].wanted), (&from, &to));
        let theirs = "with altered or outdated DenyWrongSseAlgorithm; DenyWrongSseAlgorithm: {";
        assert!(from.starts_with(theirs) && from.contains(r#""AES256""#), "{from}");
        let (_, ours_told) = to.split_once("; DenyWrongSseAlgorithm: {").unwrap();
        assert!(ours_told.contains(r#""aws:kms""#) && !change.to_string().contains('{'), "{to}");

        let theirs = BucketSettings { tags: Observed::Absent, ..ours };
        for mode in [Mode::Create, Mode::Repair] {
            let error = plan_bucket(&spec(), &present(theirs.clone()), mode).unwrap_err();
            let told = error.to_string();
            assert!(matches!(error, Unplannable::PolicyConflict { .. }), "{told}");
            let sides = told.split_once("\nDenyWrongSseAlgorithm\n  ours:   {").unwrap().1;
            let (ours, theirs) = sides.split_once("\n  theirs: {").unwrap();
            assert!(ours.contains("\"aws:kms\"") && theirs.contains("\"AES256\""), "{told}");
        }
        assert_eq!(changes(&spec(), &present(theirs), Mode::Verify), []);
    }

    #[test]
    fn policy_that_cannot_be_understood_is_never_overwritten() {
        let strange = present(with_policy(r#"{"Version":"2030-01-01","Statement":[]}"#));
        assert_eq!(changes(&spec(), &strange, Mode::Create), []);
        let error = plan_bucket(&spec(), &strange, Mode::Repair).unwrap_err();
        assert!(matches!(error, Unplannable::PolicyForeign { .. }), "{error}");
    }

    #[test]
    fn policy_that_s3_would_not_take_is_refused_before_the_call() {
        let long = THEIRS.replace("Vpc", &"V".repeat(MAX_POLICY_BYTES));
        let error = plan_bucket(&spec(), &present(with_policy(&long)), Mode::Repair).unwrap_err();
        assert!(matches!(error, Unplannable::PolicyTooLong { .. }), "{error}");
        assert!(error.to_string().contains("20480"), "{error}");
    }

    #[test]
    fn bucket_of_a_newer_release_is_not_repaired_by_an_older_one() {
        let mut settings = in_order(&spec());
        let newer = (SPEC_VERSION + 1).to_string();
        settings.tags = Observed::Known(BTreeMap::from([
            (TAG_MANAGED_BY.into(), "strongroom".into()),
            (TAG_SPEC_VERSION.into(), newer),
        ]));
        assert_eq!(changes(&spec(), &present(settings.clone()), Mode::Create), []);
        let error = plan_bucket(&spec(), &present(settings), Mode::Repair).unwrap_err();
        assert_eq!(error, Unplannable::NewerSpec { found: SPEC_VERSION + 1 });
    }

    #[test]
    fn policy_that_would_lock_us_out_is_never_put() {
        let spec = BucketSpec { secure_transport: false, ..spec() };
        assert_eq!(plan_bucket(&spec, &ObservedBucket::Absent, Mode::Create), Err(Unplannable::PlainHttp));
    }

    #[test]
    fn change_tells_the_operator_what_and_why() {
        let plan = plan_bucket(&spec(), &spoiled(SPOILED[3].2), Mode::Repair).unwrap();
        let change = &plan.changes[0];
        assert_eq!(change.to_string(), "enable versioning (now: Suspended)");
        assert_eq!(change.actions(), "s3:PutBucketVersioning");
        assert_eq!((change.what().as_str(), change.kind()), ("bucket ml: versioning", Kind::Update));
        assert_eq!((change.from().as_deref(), change.to().as_str()), (Some("Suspended"), "Enabled"));
    }
}
