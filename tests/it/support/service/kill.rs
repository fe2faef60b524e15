//! Ends of a service that nobody asked for.

use std::time::{Duration, Instant};

use super::{Environment, START_LIMIT, Service, spawn, write_config};

impl Service {
    /// Ends it with SIGKILL, whatever it is doing.
    pub(crate) fn kill(&mut self) {
        let Some(program) = self.program.take() else { return };
        if let Some(pid) = child_of(program.guard()) {
            let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
            assert!(killed.success());
        }
    }

    /// Waits until it has logged that it stands at this place.
    pub(crate) async fn stands_at(&self, point: &str) {
        let line = format!("failpoint reached: {point}");
        let deadline = Instant::now() + START_LIMIT;
        while !self.log().contains(&line) {
            assert!(Instant::now() < deadline, "{point} was not reached\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts it on the same data until it stands at the place that the environment names, and kills it there.
    pub(crate) async fn killed_in_start_at(mut self, point: &str, environment: Environment) -> Self {
        drop(self.program.take());
        self.begin_start(&environment).await;
        self.stands_at(point).await;
        self.kill();
        self
    }

    /// Starts it on the same data, and kills it after this time, wherever its start is then.
    pub(crate) async fn killed_in_start_after(mut self, time: Duration) -> Self {
        drop(self.program.take());
        let environment = self.environment.clone();
        self.begin_start(&environment).await;
        tokio::time::sleep(time).await;
        self.kill();
        self
    }

    async fn begin_start(&mut self, environment: &Environment) {
        let config = write_config(self.back_end, &self.settings, self.data.path()).await;
        self.program = Some(spawn(self.back_end, &config, environment).await);
    }
}

/// The process that this one has started, by the second field behind the name in `/proc/PID/stat`.
fn child_of(parent: u32) -> Option<u32> {
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        (fields.split_whitespace().nth(1)?.parse() == Ok(parent)).then_some(pid)
    })
}
