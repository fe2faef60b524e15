//! How the posture decides.

use super::*;

const EVERY: Duration = Duration::from_mins(5);

fn posture() -> Posture {
    Posture::closed(Vec::new(), EVERY)
}

fn all(status: Status) -> Vec<Finding> {
    ClaimId::REQUIRED.iter().map(|claim| with(*claim, status)).collect()
}

fn with(claim: ClaimId, status: Status) -> Finding {
    Finding { status, ..Finding::passed(claim, "", "") }
}

fn until(claim: ClaimId, after: Duration) -> Override {
    Override::new(claim, Timestamp::now().plus(after), "drill", "me", Timestamp::now()).unwrap()
}

#[test]
fn new_posture_refuses_writes_until_every_required_claim_has_passed() {
    let posture = posture();
    assert_eq!(posture.check().unwrap_err().claims, ClaimId::REQUIRED);
    let mut findings = all(Status::Passed);
    let last = findings.pop().unwrap();
    posture.take(findings);
    assert_eq!(posture.check().unwrap_err().claims, [ClaimId::Canary]);
    assert_eq!(posture.status(), Status::NotVerifiable);
    posture.clone().take(vec![last]);
    assert_eq!(posture.check(), Ok(()));
    assert_eq!(posture.status(), Status::Passed);
}

#[test]
fn versioning_suspended_closes_the_gate_and_a_degrading_claim_never_does() {
    let posture = posture();
    posture.take(all(Status::Passed));
    posture.take(vec![with(ClaimId::KeyRotates, Status::Failed)]);
    assert_eq!(posture.check(), Ok(()));
    assert_eq!(posture.status(), Status::Failed);
    posture.take(vec![with(ClaimId::Versioned, Status::Failed)]);
    assert_eq!(posture.check().unwrap_err().to_string(), "the bucket is not proven safe: versioned");
    assert_eq!(posture.gauges().drifts.iter().filter(|(_, count)| *count == 1).count(), 2);
}

#[test]
fn trial_that_failed_closes_although_it_is_not_required() {
    let posture = posture();
    posture.take(all(Status::Passed));
    posture.take(vec![with(ClaimId::AnonymousWriteRefused, Status::NotVerifiable)]);
    assert_eq!(posture.check(), Ok(()));
    posture.take(vec![with(ClaimId::AnonymousWriteRefused, Status::Failed)]);
    assert_eq!(posture.check().unwrap_err().claims, [ClaimId::AnonymousWriteRefused]);
}

#[test]
fn unreadable_blocking_claim_refuses_after_the_grace_and_gate_and_report_agree() {
    let posture = posture();
    let start = Moment::now();
    posture.take_at(all(Status::Passed), start);
    let later = |minutes| Moment { steady: start.steady + Duration::from_mins(minutes), ..start };
    posture.take_at(vec![with(ClaimId::Versioned, Status::NotVerifiable)], later(1));
    assert_eq!(posture.check_at(later(14)), Ok(()));
    assert_eq!(posture.check_at(later(15)).unwrap_err().claims, [ClaimId::Versioned]);
    let finding = posture.read().claims[&ClaimId::Versioned].finding(later(15));
    assert_eq!(finding.status, Status::Failed);
}

#[test]
fn every_change_is_told_once_with_what_it_was() {
    let posture = posture();
    let seen = |status, observed: &str| Finding { observed: observed.into(), ..with(ClaimId::Versioned, status) };
    assert_eq!(posture.take(vec![seen(Status::Passed, "Enabled")]), []);
    let told = posture.take(vec![seen(Status::Failed, "Suspended")]);
    assert_eq!(
        told,
        [Transition {
            claim: ClaimId::Versioned,
            effect: Effect::Blocking,
            from: (Status::Passed, "Enabled".into()),
            to: (Status::Failed, "Suspended".into()),
        }]
    );
    assert_eq!(posture.take(vec![seen(Status::Failed, "Suspended")]), []);
    assert_eq!(posture.take(vec![seen(Status::Passed, "Enabled")]).len(), 1);
    assert_eq!(posture.take(vec![with(ClaimId::ObjectsIntact, Status::Failed)]).len(), 1);
}

#[test]
fn failure_that_could_not_be_looked_at_for_a_while_is_one_drift() {
    let posture = posture();
    for status in [Status::Passed, Status::Failed, Status::NotVerifiable, Status::Failed] {
        posture.take(vec![with(ClaimId::Tagged, status)]);
    }
    assert_eq!(posture.gauges().drifts, [(ClaimId::Tagged, 1)]);
}

#[test]
fn override_opens_named_claims_until_its_time() {
    let posture = posture();
    posture.take(all(Status::Passed));
    posture.take(vec![with(ClaimId::Canary, Status::Failed), with(ClaimId::Versioned, Status::Failed)]);
    let canary = until(ClaimId::Canary, Duration::from_mins(1));
    assert_eq!(posture.put_overrides(vec![canary.clone()]), [OverrideNews::InForce(canary.clone())]);
    assert_eq!(posture.check().unwrap_err().claims, [ClaimId::Versioned]);
    let versioned = until(ClaimId::Versioned, Duration::from_mins(1));
    posture.put_overrides(vec![canary.clone(), versioned.clone()]);
    assert_eq!(posture.check(), Ok(()));
    assert_eq!(posture.status(), Status::Failed);
    assert_eq!(posture.report().overrides.len(), 2);
    let now = Moment::now();
    let later = Moment { wall: now.wall.plus(Duration::from_secs(61)), ..now };
    assert_eq!(posture.check_at(later).unwrap_err().claims, [ClaimId::Versioned, ClaimId::Canary]);
    assert_eq!(posture.put_overrides(vec![canary]), [OverrideNews::Over(versioned)]);
}

#[test]
fn what_nobody_looks_at_is_trusted_when_provisioning_is_off() {
    let posture = Posture::trusting(Vec::new());
    posture.take(vec![with(ClaimId::BucketOurs, Status::Passed), with(ClaimId::Canary, Status::Passed)]);
    posture.take(vec![with(ClaimId::Versioned, Status::NotVerifiable)]);
    assert_eq!(posture.check(), Ok(()));
    assert_eq!(posture.status(), Status::NotVerifiable);
    assert!(!posture.is_stale());
}

#[test]
fn posture_is_stale_when_three_intervals_have_passed_without_a_look() {
    let posture = posture();
    let ended = |ago| posture.write().last_look.ended.steady = Instant::now().checked_sub(ago).unwrap();
    ended(EVERY * STALE_AFTER);
    assert!(!posture.is_stale());
    ended(EVERY * STALE_AFTER + Duration::from_mins(2));
    assert!(posture.is_stale());
    let looking = posture.begin_look();
    posture.end_look(looking);
    assert!(!posture.is_stale());
}

#[tokio::test]
async fn who_asks_for_a_look_gets_one_that_began_afterwards() {
    let posture = posture();
    let under_way = posture.begin_look();
    let asking = tokio::spawn({
        let posture = posture.clone();
        async move { posture.fresh(Duration::from_secs(5)).await }
    });
    posture.asked().await;
    posture.end_look(under_way);
    tokio::task::yield_now().await;
    assert!(!asking.is_finished());
    let next = posture.begin_look();
    posture.end_look(next);
    assert!(asking.await.unwrap());
    assert!(!posture.fresh(Duration::from_millis(1)).await);
}
