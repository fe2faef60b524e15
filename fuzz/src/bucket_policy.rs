//! Policies of buckets: up to an empty line what is asked (`anonymous`, `s3:GetObject`, `arn:…`, then a condition key
//! and its value a line), then the policy.

use embedded_aws::policy::{BucketPolicy, Caller, ConditionKey, Context, Request, Verdict};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (asked, policy) = text.split_once("\n\n").unwrap_or(("", text));
    let Ok(policy) = BucketPolicy::parse(policy, "bucket") else { return };
    assert_eq!(BucketPolicy::parse(policy.text(), "bucket").unwrap().text(), policy.text());

    let mut lines = asked.lines();
    let arn = lines.next().unwrap_or("anonymous");
    let action = lines.next().unwrap_or("s3:GetObject");
    let resource = lines.next().unwrap_or("arn:aws:s3:::bucket/key");
    let mut context = Context::new();
    for line in lines {
        if let Some((name, value)) = line.split_once('=')
            && let Some(key) = ConditionKey::from_name(name)
        {
            context.insert(key, value.to_owned());
        }
    }
    let caller = match arn {
        "anonymous" => Caller::Anonymous,
        arn => Caller::Known { arn: arn.to_owned(), account: "000000000000".to_owned() },
    };
    let verdict_of =
        |caller: &Caller, context: &Context| policy.evaluate(&Request { caller, action, resource, context });
    let verdict = verdict_of(&caller, &context);
    assert_eq!(verdict_of(&caller, &context), verdict);
    // Nobody is let in without a statement that says so, and a denial cannot be had without one.
    match verdict {
        Verdict::Allow | Verdict::AllowAccount => assert!(policy.text().contains("Allow") || escaped(&policy)),
        Verdict::Deny { .. } => assert!(policy.text().contains("Deny") || escaped(&policy)),
        Verdict::NoMatch => {}
    }
    // Whom everybody's permission reaches without any condition, it reaches unsigned too; that is what public means.
    let nothing_known = Context::new();
    if verdict_of(&Caller::Anonymous, &nothing_known) == Verdict::Allow && !policy.text().contains("Condition") {
        assert!(policy.is_public() || escaped(&policy), "it lets strangers in and is not called public");
    }
}

/// Words may be written with escapes.
fn escaped(policy: &BucketPolicy) -> bool {
    policy.text().contains('\\')
}
