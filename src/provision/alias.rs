//! Whether the alias by which the key is wished still names the key in use: the next start finds the key by it.

use super::Clients;
use super::fault::{Fault, Meaning, call};
use super::finding::{ClaimId, Finding};
use super::spec::KeyArn;

/// Looks the alias up; a role that may describe one key only cannot tell a moved alias from one it may not look at.
pub(super) async fn key_named(clients: &Clients, alias: &str, key: &KeyArn) -> Finding {
    let Clients { kms, patience, .. } = clients;
    let asked =
        patience.outwait(|| call("DescribeKey", kms.describe_key().key_id(alias).send()), Fault::passes_on_read);
    let named = asked.await.map(|found| found.key_metadata.and_then(|key| key.arn).unwrap_or_default());
    judge(alias, key, named)
}

/// What a run says that has just found the key by its alias.
pub(super) fn named(alias: &str, key: &KeyArn) -> Finding {
    judge(alias, key, Ok(key.to_string()))
}

fn judge(alias: &str, key: &KeyArn, named: Result<String, Fault>) -> Finding {
    let (claim, expected) = (ClaimId::KeyNamed, format!("{alias} names {key}"));
    let cure = |call| {
        format!(
            "the next start will fail: give the alias back (aws kms {call} --alias-name {alias} --target-key-id \
             {key}), or set STRONGROOM_KMS_KEY_ARN"
        )
    };
    match named {
        Ok(named) if named == key.as_str() => Finding::passed(claim, expected.clone(), expected),
        Ok(other) => Finding::failed(claim, expected, format!("it names {other}; {}", cure("update-alias"))),
        Err(fault) if fault.meaning() == Meaning::Absent => {
            Finding::failed(claim, expected, format!("there is no such alias; {}", cure("create-alias")))
        }
        Err(fault) if fault.denied() => {
            let told = format!("this role may not look at what it names, which may be another key: {fault}");
            Finding::not_verifiable(claim, expected, told)
        }
        Err(fault) => Finding::not_verifiable(claim, expected, fault.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::fault::tests::fault;
    use crate::provision::finding::Status;
    use crate::provision::plan::tests::spec;

    #[test]
    fn alias_that_is_gone_or_names_another_key_fails_and_says_the_way_back() {
        let key = spec().key;
        let told = |named| judge("alias/ml", &key, named);
        assert_eq!(told(Ok(key.to_string())).status, Status::Passed);
        let moved = told(Ok(key.sibling("2").to_string()));
        assert_eq!(moved.status, Status::Failed);
        let cure = format!("aws kms update-alias --alias-name alias/ml --target-key-id {key}");
        assert!(moved.observed.contains(&cure), "{}", moved.observed);
        let gone = told(Err(fault(400, "NotFoundException")));
        assert_eq!(gone.status, Status::Failed);
        assert!(gone.observed.contains("create-alias") && gone.observed.contains("STRONGROOM_KMS_KEY_ARN"));
        for (status, code) in [(400, "AccessDeniedException"), (500, "KMSInternalException")] {
            assert_eq!(told(Err(fault(status, code))).status, Status::NotVerifiable, "{code}");
        }
    }
}
