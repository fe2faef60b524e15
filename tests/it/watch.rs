//! The bucket is broken from outside while the service runs: detection, effect, repair, and never a wrong byte.

mod dormant;
mod objects;
mod overrides;
mod policy;
mod scene;
mod settings;
mod start;
mod unreadable;

/// Writes each test once for every back end.
macro_rules! watched_on_every_back_end {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Scene::new(crate::support::service::BackEnd::Embedded).await).await;
            })+
        }
        mod seaweedfs {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Scene::new(crate::support::service::BackEnd::SeaweedFs).await).await;
            })+
        }
    };
}
use watched_on_every_back_end;
