//! `runs/<UTC minute>-<name>-<4 hex of scenario digest>[-2…]/`: made at once or not at all, and every file in it
//! replaced whole.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cotune_kernel::bounded;

use crate::digest::Digest;
use crate::manifest::{Manifest, Status};
use crate::summary::Summary;

/// Room a new run must find on the disk before any work starts \[B\].
const PROBE_BYTES: usize = 64 << 10;

/// The file whose lock says who works in the folder.
const CLAIM: &str = ".claim";

/// The file that says who works in the folder where there are no locks.
const OWNER: &str = ".owner";

/// What is written to in its place, or is a folder that is; every other file is replaced.
const WRITTEN_TO: [&str; 6] = [CLAIM, "events.jsonl.zst", "tables", "checkpoints", "adapters", "rungs"];

/// The end of a file's name that is not whole yet.
const PART: &str = ".part";

/// The longest manifest or summary that is read \[B\]: a run's folder may come from anyone.
const LONGEST_JSON: u64 = 64 << 20;

/// What can go wrong with the files of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// The place for runs may not be written to.
    #[error(
        "cannot write to {path}: it is read-only or belongs to someone else; choose another place with --runs"
    )]
    ReadOnly {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The disk or quota is full.
    #[error(
        "no room left at {path}: a run needs at least {needed} bytes to begin; free some or choose another place with --runs"
    )]
    DiskFull {
        /// The folder.
        path: PathBuf,
        /// What the probe tried to write \[B\].
        needed: usize,
        /// What the system says.
        source: io::Error,
    },
    /// Another process works in the folder.
    #[error("{path} is in use: another cotune process writes to this run{}", unless_gone(owner.as_deref()))]
    Busy {
        /// The folder.
        path: PathBuf,
        /// Where the file system has no locks, the file that a killed process leaves behind.
        owner: Option<PathBuf>,
    },
    /// What is to be written to leads elsewhere.
    #[error(
        "{path} is a link, a pipe or a device: a run's folder may come from anyone, and nothing is written through it; remove it"
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// Anything else the file system refuses.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the run is there but cannot be understood.
    #[error("{path} cannot be read: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl RunDirectoryError {
    fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, needed: PROBE_BYTES, source }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

fn unless_gone(owner: Option<&Path>) -> String {
    owner.map_or(String::new(), |owner| {
        format!("; the file system has no locks, so if that process was killed, remove {}", owner.display())
    })
}

/// A run's folder in the hands of this process.
#[derive(Debug)]
pub struct Claim {
    _file: File,
    /// What says so where the file system has no locks.
    owner: Option<PathBuf>,
}

impl Claim {
    /// What a person should know of it, in words: a claim without a lock outlives a process that is killed.
    pub fn doubt(&self) -> Option<String> {
        self.owner.as_ref().map(|owner| {
            format!(
                "the file system has no locks: {} keeps other processes away, and has to be removed by hand if this one is killed",
                owner.display()
            )
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(owner) = &self.owner {
            // What stays names itself to the next process.
            let _ = fs::remove_file(owner);
        }
    }
}

/// The folder of one run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Makes the folder of a new run under `runs`, named after the present minute.
    pub fn create(runs: &Path, name: &str, scenario: Digest) -> Result<Self, RunDirectoryError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the folder is named after the wall clock, nothing simulated is"
        )]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::create_at(runs, name, scenario, now.as_secs())
    }

    /// The same at a given moment \[s since 1970, UTC\]. Nothing stays behind if the disk refuses.
    pub fn create_at(
        runs: &Path,
        name: &str,
        scenario: Digest,
        unix: u64,
    ) -> Result<Self, RunDirectoryError> {
        fs::create_dir_all(runs).map_err(|error| RunDirectoryError::new("create", runs, error))?;
        let stem = format!("{}-{}-{}", utc_minute(unix), slug(name), &scenario.to_hex()[..4]);
        for attempt in 1_u32.. {
            let id = if attempt == 1 { stem.clone() } else { format!("{stem}-{attempt}") };
            let path = runs.join(id);
            match fs::create_dir(&path) {
                Ok(()) => {
                    let directory = Self { path };
                    return directory.furnish().inspect_err(|_| {
                        let _ = fs::remove_dir_all(&directory.path);
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(RunDirectoryError::new("create", &path, error)),
            }
        }
        unreachable!("a minute has fewer runs than u32::MAX")
    }

    /// The folder of a run that is there, or of a sweep's point whose name is given by its digest.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Makes a folder with a name of the caller's choice (a sweep's point); it may exist.
    pub fn create_named(path: impl Into<PathBuf>) -> Result<Self, RunDirectoryError> {
        let directory = Self::at(path);
        let path = &directory.path;
        refuse_link(path)?;
        fs::create_dir_all(path).map_err(|error| RunDirectoryError::new("create", path, error))?;
        directory.furnish()
    }

    fn furnish(&self) -> Result<Self, RunDirectoryError> {
        let tables = self.tables();
        fs::create_dir_all(&tables).map_err(|error| RunDirectoryError::new("create", &tables, error))?;
        let failed = |error| RunDirectoryError::new("write to", &self.path, error);
        let probe = part_of(&self.path.join("probe")).map_err(failed)?;
        let written = File::create_new(&probe).and_then(|mut file| {
            file.write_all(&[0x5a; PROBE_BYTES])?;
            file.sync_all()
        });
        let removed = match fs::remove_file(&probe) {
            // Another process goes on with the run, and tidied its folder first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        written.and(removed).map_err(failed)?;
        Ok(self.clone())
    }

    /// Claims the folder for this process. The claim ends with its value or with the process, however that ends; where the
    /// file system has no locks, only with its value ([`Claim::doubt`]).
    ///
    /// # Errors
    /// Another process has it, something that is written to is a link, or the file system refuses.
    pub fn claim(&self) -> Result<Claim, RunDirectoryError> {
        WRITTEN_TO.iter().try_for_each(|name| refuse_link(&self.path.join(name)))?;
        let path = self.path.join(CLAIM);
        let failed = |source| RunDirectoryError::new("claim", &path, source);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Claim { _file: file, owner: None }),
            Err(fs::TryLockError::WouldBlock) => {
                Err(RunDirectoryError::Busy { path: self.path.clone(), owner: None })
            }
            Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                self.claim_without_locks(file)
            }
            Err(fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The claim where the file system has no locks: a file that only one process can make.
    fn claim_without_locks(&self, file: File) -> Result<Claim, RunDirectoryError> {
        let path = self.path.join(OWNER);
        match OpenOptions::new().create_new(true).write(true).open(&path) {
            Ok(_) => Ok(Claim { _file: file, owner: Some(path) }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(RunDirectoryError::Busy { path: self.path.clone(), owner: Some(path) })
            }
            Err(error) => Err(RunDirectoryError::new("claim", &path, error)),
        }
    }

    /// Takes everything out of the folder but the claim to it, and furnishes it anew.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn empty(&self) -> Result<(), RunDirectoryError> {
        let failed = |source| RunDirectoryError::new("empty", &self.path, source);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let removed = match path.file_name() {
                Some(name) if name == CLAIM || name == OWNER => Ok(()),
                _ if path.is_dir() => fs::remove_dir_all(&path),
                _ => fs::remove_file(&path),
            };
            removed.map_err(failed)?;
        }
        self.furnish().map(drop)
    }

    /// Removes what a process left that was killed while it replaced a file. Only for who has the claim.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn tidy(&self) -> Result<(), RunDirectoryError> {
        let below = ["checkpoints", "rungs"].map(|name| self.path.join(name));
        for folder in [self.path.clone(), self.tables()].into_iter().chain(below) {
            let failed = |source| RunDirectoryError::new("tidy", &folder, source);
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(failed)?,
            };
            for entry in entries {
                let path = entry.map_err(failed)?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with('.') && name.ends_with(PART) {
                    match fs::remove_file(&path) {
                        // Another process looked for room there, and removed it first.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        removed => removed.map_err(failed)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's id: the name of its folder.
    pub fn id(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// `run.json`.
    pub fn manifest_path(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// `scenario.toml`, byte for byte as written by the user.
    pub fn scenario_path(&self) -> PathBuf {
        self.path.join("scenario.toml")
    }

    /// `scenario.lock.json`, every default resolved.
    pub fn lock_path(&self) -> PathBuf {
        self.path.join("scenario.lock.json")
    }

    /// `events.jsonl.zst`.
    pub fn events_path(&self) -> PathBuf {
        self.path.join("events.jsonl.zst")
    }

    /// `tables/`.
    pub fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }

    /// `adapters/`: what was learned, in the layout of PEFT.
    pub fn adapters(&self) -> PathBuf {
        self.path.join("adapters")
    }

    /// `metrics.csv`.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.csv")
    }

    /// `summary.json`.
    pub fn summary_path(&self) -> PathBuf {
        self.path.join("summary.json")
    }

    /// `report.html`.
    pub fn report_path(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Writes `run.json` and waits for the disk. One that says that the run is complete waits for everything else in the
    /// folder before it says so: the checkpoints are removed next, and nothing could be made anew.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), RunDirectoryError> {
        if manifest.status == Status::Complete {
            sync_tree(&self.path).map_err(|error| RunDirectoryError::new("write to", &self.path, error))?;
        }
        self.write_json(&self.manifest_path(), manifest)
    }

    /// Reads `run.json`.
    pub fn manifest(&self) -> Result<Manifest, RunDirectoryError> {
        read_json(&self.manifest_path())
    }

    /// Writes `summary.json` and waits for the disk.
    pub fn write_summary(&self, summary: &Summary) -> Result<(), RunDirectoryError> {
        self.write_json(&self.summary_path(), summary)
    }

    /// Reads `summary.json`.
    pub fn summary(&self) -> Result<Summary, RunDirectoryError> {
        read_json(&self.summary_path())
    }

    /// `rungs/00012.json`: the summary that the run had when it was paused after round 12.
    pub fn rung_path(&self, round: u32) -> PathBuf {
        self.path.join("rungs").join(format!("{round:05}.json"))
    }

    /// Writes the summary of a run that was paused, and waits for the disk. It may be written by who has no claim, which would
    /// have refused links.
    pub fn write_rung(&self, round: u32, summary: &Summary) -> Result<(), RunDirectoryError> {
        let path = self.rung_path(round);
        let folder = path.parent().unwrap_or(&self.path);
        refuse_link(&self.path)?;
        refuse_link(folder)?;
        fs::create_dir_all(folder).map_err(|error| RunDirectoryError::new("create", folder, error))?;
        self.write_json(&path, summary)
    }

    /// Reads the summary after a round; none if the run was never paused there.
    pub fn rung(&self, round: u32) -> Result<Option<Summary>, RunDirectoryError> {
        let path = self.rung_path(round);
        refuse_link(path.parent().unwrap_or(&self.path))?;
        if path.is_file() { read_json(&path).map(Some) } else { Ok(None) }
    }

    /// Writes `scenario.toml` and `scenario.lock.json`.
    pub fn write_scenario(&self, verbatim: &[u8], lock: &[u8]) -> Result<(), RunDirectoryError> {
        for (path, bytes) in [(self.scenario_path(), verbatim), (self.lock_path(), lock)] {
            replace(&path, bytes, true).map_err(|error| RunDirectoryError::new("write", &path, error))?;
        }
        Ok(())
    }

    /// Replaces one file whole: readers see the old bytes or the new ones.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), RunDirectoryError> {
        replace(path, bytes, false).map_err(|error| RunDirectoryError::new("write", path, error))
    }

    fn write_json(&self, path: &Path, value: &impl serde::Serialize) -> Result<(), RunDirectoryError> {
        let mut bytes = serde_json::to_vec_pretty(value)
            .map_err(|source| RunDirectoryError::Malformed { path: path.to_owned(), source })?;
        bytes.push(b'\n');
        replace(path, &bytes, true).map_err(|error| RunDirectoryError::new("write", path, error))
    }
}

/// Replaces a file by way of a temporary one beside it; `durable` waits for the disk, name included.
pub fn replace(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    replace_with(path, durable, |mut file| file.write_all(bytes))
}

/// The same with a file that is written piece by piece.
pub(crate) fn replace_with<E: From<io::Error>>(
    path: &Path,
    durable: bool,
    write: impl FnOnce(&File) -> Result<(), E>,
) -> Result<(), E> {
    let part = part_of(path)?;
    let written = || {
        let file = File::create_new(&part)?;
        write(&file)?;
        if durable {
            file.sync_all()?;
        }
        drop(file);
        Ok(fs::rename(&part, path)?)
    };
    written().inspect_err(|_: &E| {
        let _ = fs::remove_file(&part);
    })?;
    match path.parent() {
        Some(folder) if durable => Ok(sync_folder(folder)?),
        _ => Ok(()),
    }
}

/// Waits until the names in a folder are on the disk, where a folder can be waited for.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Waits until every file in a folder and below it is on the disk, names included. Links are not followed: what they lead to is
/// not the run's.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        match sync_entry(&entry?) {
            // Another process that looks at the folder leaves nothing behind.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    sync_folder(folder)
}

fn sync_entry(entry: &fs::DirEntry) -> io::Result<()> {
    let (path, kind) = (entry.path(), entry.file_type()?);
    if kind.is_dir() {
        sync_tree(&path)
    } else if kind.is_file() {
        // Elsewhere only those who may write to a file may wait for it.
        OpenOptions::new().read(true).write(cfg!(not(unix))).open(path)?.sync_all()
    } else {
        Ok(())
    }
}

/// The temporary file beside one that is replaced. Its name is drawn: processes on different computers, or in different
/// containers, may have one number.
fn part_of(path: &Path) -> io::Result<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?);
    name.push(format!(".{:016x}{PART}", RandomState::new().hash_one(())));
    Ok(path.with_file_name(name))
}

/// Sees that nothing is written through a link, a pipe or a device, for a run's folder may come from anyone.
///
/// # Errors
/// There is one.
pub fn refuse_link(path: &Path) -> Result<(), RunDirectoryError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => {
            Err(RunDirectoryError::Link { path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, RunDirectoryError> {
    let failed = |error| RunDirectoryError::new("read", path, error);
    let bytes = bounded::bytes(path, LONGEST_JSON).map_err(failed)?;
    serde_json::from_slice(&bytes)
        .map_err(|source| RunDirectoryError::Malformed { path: path.to_owned(), source })
}

/// A name that is safe in a folder's name: lower case, everything but letters, digits, `.` and `_` a single `-`.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() || matches!(character, '.' | '_') {
            slug.push(character);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(60);
    match slug.trim_matches(['-', '.']) {
        "" => "run".to_owned(),
        slug => slug.to_owned(),
    }
}

/// `yyyymmdd-hhmm` in UTC. Days to date after Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub(crate) fn utc_minute(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}", second / 3_600, second / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_no_locks_a_file_says_whose_the_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create_named(folder.path().join("run")).unwrap();
        let claim = || directory.claim_without_locks(File::create(directory.path.join(CLAIM)).unwrap());
        let first = claim().unwrap();
        let owner = directory.path.join(OWNER);
        assert!(first.doubt().unwrap().contains(owner.to_str().unwrap()));
        directory.empty().unwrap();
        let told = claim().unwrap_err().to_string();
        assert!(
            told.contains("is in use") && told.contains(&format!("remove {}", owner.display())),
            "{told}"
        );
        drop(first);
        assert!(!owner.exists());
        claim().unwrap();
        assert_eq!(directory.claim().unwrap().doubt(), None, "a temporary folder has locks");
    }

    #[cfg(unix)]
    #[test]
    fn no_rung_is_looked_for_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create_named(folder.path().join("run")).unwrap();
        assert!(directory.rung(1).unwrap().is_none());
        std::os::unix::fs::symlink(folder.path(), directory.path.join("rungs")).unwrap();
        assert!(matches!(directory.rung(1), Err(RunDirectoryError::Link { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_waited_for_to_its_last_file_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("adapters/cloud/model");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("adapter_config.json"), "{}").unwrap();
        std::os::unix::fs::symlink(folder.path(), deep.join("round")).unwrap();
        std::os::unix::fs::symlink("nowhere", deep.join("lost")).unwrap();
        sync_tree(folder.path()).unwrap();
        assert!(sync_tree(&deep.join("lost")).is_err());
    }

    #[test]
    fn a_folder_is_named_after_the_utc_minute_the_name_and_the_scenario() {
        assert_eq!(utc_minute(0), "19700101-0000");
        assert_eq!(utc_minute(951_827_696), "20000229-1234");
        assert_eq!(utc_minute(1_735_689_599), "20241231-2359");
        assert_eq!(slug("City clinics/α <1>"), "city-clinics-1");
        assert_eq!(slug("../.."), "run");
    }
}
