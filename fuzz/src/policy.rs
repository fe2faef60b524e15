//! A file of the operator's policies in Cedar.

use std::net::IpAddr;
use std::path::Path;
use std::sync::LazyLock;

use strongroom::access::{Action, Known, Policies, PoliciesError, Resource, Subject};
use strongroom::domain::{Grant, GrantOn, Grantee, Labels, ModelRef, Role};

static HOUSE: LazyLock<Policies> = LazyLock::new(|| Policies::house().unwrap());

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let policies = match HOUSE.clone().with_file(Path::new("custom.cedar"), text) {
        Ok(policies) => policies,
        Err(PoliciesError::Wrong { place, problem }) => {
            let mut numbers = place.rsplit(':').map(|number| number.parse::<usize>().unwrap_or(0));
            let (column, line) = (numbers.next().unwrap(), numbers.next().unwrap());
            // A place is one of the text, or right behind it.
            assert!((1..=text.split('\n').count()).contains(&line), "{place} of {text:?}");
            let length = text.split('\n').nth(line - 1).unwrap().chars().count();
            assert!((1..=length + 1).contains(&column) && !problem.is_empty(), "{place} of {text:?}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let again = HOUSE.clone().with_file(Path::new("custom.cedar"), text).unwrap();
    assert_eq!(again.custom(), policies.custom());

    let model = ModelRef { namespace: "vision".parse().unwrap(), name: "resnet".parse().unwrap() };
    let alias = "production".parse().unwrap();
    let labels = Labels::default();
    for is_admin in [false, true] {
        let (theirs, ours) = (subject(&policies, is_admin), subject(&HOUSE, is_admin));
        for (action, resource) in [
            (Action::Read, Resource::Namespace(&model.namespace)),
            (Action::Read, Resource::Model(&model, &labels)),
            (Action::MoveAlias, Resource::Alias { model: &model, labels: &labels, alias: &alias, protected: true }),
            (Action::Operate, Resource::System),
        ] {
            let verdict = theirs.decide(action, resource);
            assert!(!verdict.allowed || !verdict.because.is_empty(), "allowed without a reason");
            let before = ours.decide(action, resource);
            if verdict.allowed != before.allowed {
                let named = |id: &String| id.starts_with("custom.cedar:");
                assert!(verdict.because.iter().any(named), "changed, and no policy of the file says so");
            }
            if policies.custom() == 0 {
                assert_eq!(verdict, before);
            }
        }
    }
}

/// Somebody who may read a namespace, or may do everything.
fn subject(policies: &Policies, is_admin: bool) -> Subject {
    let (role, on) = if is_admin {
        (Role::Admin, GrantOn::Everything)
    } else {
        (Role::Reader, GrantOn::Namespace("vision".parse().unwrap()))
    };
    let known = Known {
        principal: "token:ci".to_owned(),
        groups: vec!["corp:ml".to_owned()],
        claims: [("ref".to_owned(), "main".to_owned())].into(),
        address: Some(IpAddr::from([192, 0, 2, 7])),
        grants: vec![("1".to_owned(), Grantee::token("ci"), Grant { role, on })],
        issuer: Some("corp".to_owned()),
    };
    Subject::new(policies, known)
}
