//! Programs that run beside the tests and never outlive them.

use std::{
    fs::{self, File},
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
};

/// How much of a log a failure shows, in bytes.
const LOG_TAIL: usize = 8 * 1024;
/// Where a program's output goes, in its directory.
const LOG: &str = "log";

/// A program in a directory of its own, with nothing of this process's environment.
///
/// It ends, with all that it started, when this is dropped or when the test process ends, however that happens;
/// then its directory is removed.
#[derive(Debug)]
pub(crate) struct Guarded {
    name: &'static str,
    // Holds the pipe that keeps the program alive.
    child: Child,
    dir: PathBuf,
}

impl Guarded {
    /// Starts `program` in `dir`, which it owns from now on, with its output in the file `log` there.
    ///
    /// `environment` comes beside `PATH`, `HOME` and `TMPDIR`; `leftovers` are files elsewhere that it leaves behind.
    pub(crate) fn start(
        name: &'static str,
        dir: &Path,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        leftovers: &[PathBuf],
    ) -> io::Result<Self> {
        let output = File::create(dir.join(LOG))?;
        let mut command = Command::new(installed("seaweedfs/bin/python"));
        command.arg(source("tests/tools/run_until_stdin_closes"));
        for path in leftovers.iter().map(PathBuf::as_path).chain([dir]) {
            command.arg("--then-remove").arg(path);
        }
        let child = command
            .arg("--")
            .arg(program)
            .args(arguments)
            .current_dir(dir)
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .env("HOME", dir)
            .env("TMPDIR", dir)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self { name, child, dir: dir.to_owned() })
    }

    /// The exit status, once the program has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The process id of its guard; the program is that process's only child.
    #[cfg(feature = "failpoints")]
    pub(crate) fn guard(&self) -> u32 {
        self.child.id()
    }

    /// What it was started as.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Everything that the program wrote.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join(LOG)).unwrap_or_default()).into_owned()
    }

    /// The last lines that the program wrote, under its name, for a failure's message.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read(self.dir.join(LOG)).unwrap_or_default();
        let tail = &text[text.len().saturating_sub(LOG_TAIL)..];
        format!("--- {}\n{}", self.name, String::from_utf8_lossy(tail))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Bounded: the guard kills the program's group after seconds.
        let _ = self.child.wait();
        // The guard leaves it when the program ended by itself.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Where programs of the system are; those of the tests are named by their full path.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A file of this project's sources.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file that `tests/tools/install` provides, such as `clients/bin/python`; installs everything at the first call.
///
/// # Panics
/// When the installation fails.
pub(crate) fn installed(path: &str) -> PathBuf {
    static INSTALL: OnceLock<Result<(), String>> = OnceLock::new();
    let install = || {
        // With the environment as it is: the package index may be configured there.
        let output = Command::new(source("tests/tools/install"))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    if let Err(message) = INSTALL.get_or_init(install) {
        panic!("tests/tools/install failed: {message}");
    }
    source("target/tools").join(path)
}

/// Loopback ports that were all free a moment ago; another process may take one before it is used.
pub(crate) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    // All are held until the last is known, so that they differ.
    let listeners = (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<io::Result<Vec<_>>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
