//! One run of chukka, described by its differences from the default.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Run, Runner};
use crate::guest::{MARKER, command_word, initrd};
use crate::job::{Act, Job};
use crate::pack::files_in_word;
use crate::{Doing, Result, assets, binaries, exec};

/// A guest to be run. Without further words: Debian's cloud kernel and the usual initrd, 256 MiB,
/// one processor, console on standard output, `quiet`, `-no-reboot`; it reports [`MARKER`] and
/// powers off.
#[derive(Debug, Clone)]
pub struct Guest {
    kernel: Option<PathBuf>,
    initrd: Option<Option<PathBuf>>,
    append: Vec<String>,
    memory: String,
    reboots: bool,
    words: Vec<String>,
    bare: bool,
    job: Job,
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

impl Guest {
    /// The usual guest.
    #[must_use]
    pub fn new() -> Self {
        Self {
            kernel: None,
            initrd: None,
            append: vec!["console=ttyS0 panic=-1 quiet".into()],
            memory: "256".into(),
            reboots: false,
            words: Vec::new(),
            bare: false,
            job: Job::new([""; 0]).mark(MARKER),
        }
    }

    /// chukka with exactly these words. Files among them are brought to where it runs.
    pub fn argv<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Self { bare: true, ..Self::new() }.args(words)
    }

    /// Another kernel.
    #[must_use]
    pub fn kernel(mut self, path: &Path) -> Self {
        self.kernel = Some(path.into());
        self
    }

    /// Another initrd.
    #[must_use]
    pub fn initrd(mut self, path: &Path) -> Self {
        self.initrd = Some(Some(path.into()));
        self
    }

    /// No initrd at all.
    #[must_use]
    pub fn no_initrd(mut self) -> Self {
        self.initrd = Some(None);
        self
    }

    /// Has the kernel tell all on its console. In the lab that takes longer than the boot itself.
    #[must_use]
    pub fn verbose(mut self) -> Self {
        self.append[0] = "console=ttyS0 panic=-1".into();
        self
    }

    /// More words for the kernel, after `console=ttyS0 panic=-1 quiet`.
    #[must_use]
    pub fn append(mut self, words: &str) -> Self {
        self.append.push(words.into());
        self
    }

    /// What the guest does once it is up, such as `info`, `shell`, `panic`, `idle`: see
    /// `guest/init.sh`.
    #[must_use]
    pub fn does(self, words: &str) -> Self {
        self.append(&format!("guest.run={words}"))
    }

    /// A piece of shell that the guest runs first.
    #[must_use]
    pub fn shell(self, shell: &str) -> Self {
        self.append(&command_word(shell))
    }

    /// Another size of memory, as `-m` takes it.
    #[must_use]
    pub fn memory(mut self, size: &str) -> Self {
        self.memory = size.into();
        self
    }

    /// Leaves out `-no-reboot`.
    #[must_use]
    pub fn reboots(mut self) -> Self {
        self.reboots = true;
        self
    }

    /// One more word for chukka.
    #[must_use]
    pub fn arg(self, word: &str) -> Self {
        self.args([word])
    }

    /// More words for chukka.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.words.extend(words.into_iter().map(Into::into));
        self
    }

    /// Ends it after this time.
    #[must_use]
    pub fn timeout_secs(mut self, seconds: u64) -> Self {
        self.job.timeout = Duration::from_secs(seconds);
        self
    }

    /// Once `see` was printed, do `act`; several come one after the other.
    #[must_use]
    pub fn when(self, see: &str, act: Act) -> Self {
        self.with(|job| job.when(see, act))
    }

    /// Changes the job: a terminal, marks, limits, environment…
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(Job) -> Job) -> Self {
        self.job = change(self.job);
        self
    }

    /// The job that runs this guest.
    ///
    /// # Errors
    /// If chukka, the kernel or the initrd cannot be had.
    pub fn job(&self) -> Result<Job> {
        let chukka = binaries::chukka()?;
        let mut job = self.job.clone();
        let word = |path: &Path| path.to_string_lossy().into_owned();
        job.command = vec![word(&chukka)];
        job.needs.push(chukka);
        if !self.bare {
            let kernel = match &self.kernel {
                Some(path) => path.clone(),
                None => assets::cloud()?.vmlinuz,
            };
            job.command.extend(["-kernel".into(), word(&kernel)]);
            let initrd = match &self.initrd {
                Some(choice) => choice.clone(),
                None => Some(initrd()?),
            };
            if let Some(initrd) = initrd {
                job.command.extend(["-initrd".into(), word(&initrd)]);
            }
            job.command.extend(["-append".into(), self.append.join(" ")]);
            job.command.extend(["-m", &self.memory, "-nographic"].map(String::from));
            if !self.reboots {
                job.command.push("-no-reboot".into());
            }
        }
        job.command.extend(self.words.iter().cloned());
        let folder = std::env::current_dir().doing("Finding the current folder")?;
        let files = job.command.iter().skip(1).flat_map(|word| files_in_word(word, &folder));
        job.needs.extend(files.collect::<Vec<_>>());
        // Relative names mean the same files wherever it runs.
        job.folder.get_or_insert_with(|| word(&folder));
        Ok(job)
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If it cannot be run; what the guest does is for the test to judge.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn run(&self, runner: &Runner) -> Run {
        match self.job() {
            Ok(job) => runner.run(&job),
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs it on this host, whatever its KVM is good for: for what chukka says before a guest
    /// runs.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn run_here(&self) -> Run {
        match self.job() {
            Ok(job) => Run::new(&job, exec::run(&job, &mut |_| {})),
            Err(error) => panic!("{error}"),
        }
    }
}
