//! Places where a test ends the process, to see what the next start makes of what is left.
//!
//! Only with the feature `failpoints`: without it [`reached`] is nothing, and no setting names a place.
//! A new one takes a line in [`POINTS`], a call where it is, and a line below `tests/it/crash/` that says how a test
//! gets there.

/// Every place, in the order in which a version passes them.
pub const POINTS: &[&str] = &[
    // One request, one version.
    "publish:before_draft",
    "publish:after_draft",
    "publish:after_create_upload",
    "publish:after_part",
    "publish:after_body",
    "publish:before_commit",
    "publish:after_commit",
    "publish:after_commits",
    "publish:after_number",
    "publish:after_manifest",
    "publish:after_visible",
    // A file of a draft, straight to S3 or through the service, and one that is not needed any more.
    "upload:after_rows",
    "upload:after_create",
    "upload:after_complete",
    "put:after_row",
    "put:after_commit",
    "removal:after_bytes",
    "end_draft:after_rows",
    "freeze:after_number",
    // An alias, and what the bucket's journal is told.
    "alias:after_move",
    "journal:after_entry",
    // The sweeper, in its order.
    "sweep:after_upload",
    "sweep:after_draft",
    "sweep:after_purge_begun",
    "sweep:after_unlink",
    "sweep:after_object",
    "sweep:after_manifest",
    "sweep:after_version",
    // A refused request, and what recovery removes.
    "discard:before_removal",
    "discard:after_removal",
    "discard:after_row",
    // At start and every minute.
    "recover:before_version",
    "recover:after_version",
    "recover:before_draft",
    "recover:after_draft",
];

/// The setting that names a place.
///
/// It is in no document: no released binary knows it.
#[cfg(feature = "failpoints")]
pub const SETTING: &str = "failpoint";

#[cfg(feature = "failpoints")]
pub use armed::{Armed, arm, reached};

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[expect(clippy::inline_always, reason = "what is released must not even have the names")]
#[inline(always)]
pub(crate) fn reached(_name: &'static str) -> std::future::Ready<()> {
    std::future::ready(())
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::str::FromStr;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::POINTS;

    /// The place where the process stops: `NAME`, or `NAME:K` for the K-th time that it is reached.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Armed {
        name: &'static str,
        at: u64,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);

    impl FromStr for Armed {
        type Err = ();

        fn from_str(text: &str) -> Result<Self, ()> {
            let (name, at) = match text.rsplit_once(':').and_then(|(name, at)| Some((name, at.parse().ok()?))) {
                Some((name, at)) if at > 0 => (name, at),
                _ => (text, 1),
            };
            let name = POINTS.iter().find(|point| **point == name).ok_or(())?;
            Ok(Self { name, at })
        }
    }

    /// Says where the process is to stop; a second call changes nothing.
    pub fn arm(place: Armed) {
        let _ = ARMED.set(place);
    }

    /// Stops for ever whoever comes here, if this is the place.
    pub async fn reached(name: &'static str) {
        debug_assert!(POINTS.contains(&name), "{name} is not in the list");
        let Some(armed) = ARMED.get().filter(|armed| armed.name == name) else { return };
        if REACHED.fetch_add(1, Ordering::SeqCst) + 1 == armed.at {
            tracing::warn!("failpoint reached: {name}");
            std::future::pending::<()>().await;
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_place_is_named_with_or_without_a_count_and_an_unknown_one_is_refused() {
            let of = |text: &str| text.parse::<Armed>().map(|armed| (armed.name, armed.at));
            assert_eq!(of("publish:after_part"), Ok(("publish:after_part", 1)));
            assert_eq!(of("publish:after_part:3"), Ok(("publish:after_part", 3)));
            for text in ["", "publish", "publish:3", "publish:after_part:0", "publish:after_part:x"] {
                assert_eq!(of(text), Err(()), "{text}");
            }
        }
    }
}
