//! The keys of one issuer in memory: how long they are believed, and when the issuer is asked again.
//!
//! Anybody can send tokens, so no token may make the service ask an issuer more often than once a pause. Requests that
//! need the same fetch share it; a key id that the issuer did not have is remembered for a while; and while an issuer is
//! away its last keys go on for a bounded time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use reqwest::Client;

use super::key::{Key, KeySet};
use super::source::{self, KeysError};
use super::{Algorithm, IssuerSettings, Refused, Windows};

/// Most key ids that are remembered as unknown; beyond, the pause alone protects the issuer.
const MOST_UNKNOWN: usize = 1_000;

const UNKNOWN_KEY: Refused = Refused::Invalid("its key is none of its issuer's");
const UNFIT_KEY: Refused = Refused::Invalid("its issuer has no key, or not just one, for its key id and algorithm");

/// The keys of one issuer.
pub(super) struct Ring {
    settings: IssuerSettings,
    client: Client,
    windows: Windows,
    state: Mutex<State>,
}

/// A fetch that goes on, whoever waits for it.
type Flight = Shared<BoxFuture<'static, ()>>;

#[derive(Default)]
struct State {
    good: Option<Good>,
    /// When the last fetch began.
    asked: Option<Instant>,
    /// Whether the last fetch that ended brought nothing.
    is_away: bool,
    unknown: HashMap<String, Instant>,
    flight: Option<Flight>,
}

struct Good {
    keys: KeySet,
    at: Instant,
}

/// What the memory says of a key.
#[derive(Debug)]
enum Known {
    Answer(Result<Key, Refused>),
    /// The issuer should be asked; the answer, should that be impossible.
    Ask(Result<Key, Refused>),
}

impl Ring {
    pub(super) fn new(settings: IssuerSettings, client: Client, windows: Windows) -> Self {
        Self { settings, client, windows, state: Mutex::default() }
    }

    /// The one key for this id and algorithm, from memory if it is there.
    pub(super) async fn key(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm) -> Result<Key, Refused> {
        let begun = Instant::now();
        let (known, is_away) = {
            let state = self.state();
            (state.known(kid, algorithm, &self.windows, begun), state.is_away)
        };
        match known {
            Known::Answer(answer) => return answer,
            Known::Ask(Ok(key)) if is_away => {
                // Known to be away: who has a key that still counts need not wait until it fails again.
                drop(self.flight());
                return Ok(key);
            }
            Known::Ask(_) => self.flight().await,
        }
        let mut state = self.state();
        // It was asked for just now, so this is the answer even where more asking would be due.
        let (Known::Answer(answer) | Known::Ask(answer)) = state.known(kid, algorithm, &self.windows, begun);
        // What the issuer said before this token came says nothing about a key that came with it.
        let was_asked_for_it = state.asked.is_some_and(|at| at >= begun);
        if let (true, Err(UNKNOWN_KEY), Some(kid)) = (was_asked_for_it, &answer, kid) {
            state.remember_unknown(kid, &self.windows, Instant::now());
        }
        answer
    }

    /// Joins the fetch that is under way, or begins one.
    ///
    /// It runs in a task of its own: a client that hangs up must neither end the fetch for those who wait with it, nor
    /// be able to have the next one begun at once.
    fn flight(self: &Arc<Self>) -> Flight {
        let mut state = self.state();
        // One that was polled to its end and is still here has panicked before it landed.
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.peek().is_none()) {
            return flight.clone();
        }
        let begun = Instant::now();
        let ring = Arc::clone(self);
        let task = tokio::spawn(async move {
            let fetched = source::fetch(&ring.settings, &ring.client, ring.windows.fetch).await;
            ring.land(fetched, begun);
        });
        let flight = async move { drop(task.await) }.boxed().shared();
        state.asked = Some(begun);
        state.flight = Some(flight.clone());
        flight
    }

    fn land(&self, fetched: Result<KeySet, KeysError>, begun: Instant) {
        if let Err(error) = &fetched {
            let error: &dyn std::error::Error = error;
            tracing::warn!(issuer = self.settings.name, error, "the keys of an issuer cannot be had");
        }
        let mut state = self.state();
        state.flight = None;
        state.is_away = fetched.is_err();
        if let Ok(keys) = fetched {
            // What it says now it may have said when it was asked, and not later.
            state.good = Some(Good { keys, at: begun });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn known(&self, kid: Option<&str>, algorithm: Algorithm, windows: &Windows, now: Instant) -> Known {
        let since = |at: Instant| now.saturating_duration_since(at);
        // Joining a fetch that is under way costs the issuer nothing.
        let may_ask = self.flight.is_some() || self.asked.is_none_or(|at| since(at) >= windows.pause);
        let Some(good) = self.good.as_ref().filter(|good| since(good.at) < windows.last_good) else {
            let away = Err(Refused::Unavailable);
            return if may_ask { Known::Ask(away) } else { Known::Answer(away) };
        };
        let (answer, is_unknown) = match (good.keys.find(kid, algorithm), kid) {
            (Some(key), _) => (Ok(key.clone()), false),
            (None, Some(kid)) if !good.keys.knows(kid) => {
                // While the issuer cannot be asked, nobody knows whether it has the key by now.
                let refused = if self.is_away { Refused::Unavailable } else { UNKNOWN_KEY };
                (Err(refused), true)
            }
            (None, _) => (Err(UNFIT_KEY), false),
        };
        let is_fresh = since(good.at) < windows.fresh;
        let was_asked = |kid: &str| self.unknown.get(kid).is_some_and(|at| since(*at) < windows.unknown);
        let should_ask = !is_fresh || (is_unknown && !kid.is_some_and(was_asked));
        if should_ask && may_ask { Known::Ask(answer) } else { Known::Answer(answer) }
    }

    fn remember_unknown(&mut self, kid: &str, windows: &Windows, now: Instant) {
        if self.unknown.len() >= MOST_UNKNOWN {
            self.unknown.retain(|_, at| now.saturating_duration_since(*at) < windows.unknown);
        }
        if self.unknown.len() < MOST_UNKNOWN {
            self.unknown.insert(kid.to_owned(), now);
        }
    }
}
