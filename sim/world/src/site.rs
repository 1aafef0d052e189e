//! Where a scenario's paths lead on this computer, and where they may lead.

use std::path::{Path, PathBuf};

/// The folders that a scenario's paths are relative to. Not part of a scenario: results do not depend on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The scenario file's folder.
    pub scenario_dir: PathBuf,
    /// What `data:` stands for; empty if nobody said.
    pub data_dir: PathBuf,
    /// Where bases made by `pretrain:` are kept.
    pub cache_dir: PathBuf,
    /// What may be read.
    pub reach: Reach,
}

/// What the files of a scenario, which may come from anyone, may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Anything: the caller wrote the scenario.
    #[default]
    Anywhere,
    /// What lies below the scenario's folder, the data folder or one of these, links followed.
    Below(Vec<PathBuf>),
}

impl Reach {
    /// Lets it reach a place, too.
    pub fn extend(&mut self, place: PathBuf) {
        match self {
            Self::Anywhere => {}
            Self::Below(places) => places.push(place),
        }
    }
}

/// A path that leads where it may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path} lies outside the folder of the scenario and the data folder: put it there, or allow it with --allow-path {folder}"
)]
pub struct OutOfReach {
    /// Where it leads, links followed.
    pub path: String,
    /// The folder that would have to be allowed.
    pub folder: String,
}

/// A path of the data folder where nobody said which folder that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody said where `data:` lies: write --data FOLDER, or set COTUNE_DATA")]
pub struct NoDataFolder;

impl Site {
    /// The place a path of the scenario leads to.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.resolve_from(&self.scenario_dir, path)
    }

    /// The place a path leads to when it is written in a file of `folder`.
    pub fn resolve_from(&self, folder: &Path, path: &str) -> PathBuf {
        match path.strip_prefix("data:") {
            Some(rest) if self.knows(path).is_ok() => self.data_dir.join(rest),
            _ => folder.join(path),
        }
    }

    /// Sees that somebody said where a path of the data folder leads.
    ///
    /// # Errors
    /// Nobody did.
    pub fn knows(&self, path: &str) -> Result<(), NoDataFolder> {
        let is_unknown = path.starts_with("data:") && self.data_dir.as_os_str().is_empty();
        if is_unknown { Err(NoDataFolder) } else { Ok(()) }
    }

    /// Sees that a place may be read. One that does not exist may: reading it tells.
    ///
    /// # Errors
    /// It lies elsewhere.
    pub fn permit(&self, place: &Path) -> Result<(), OutOfReach> {
        let Reach::Below(more) = &self.reach else { return Ok(()) };
        let Ok(real) = place.canonicalize() else { return Ok(()) };
        let here = Path::new(".");
        let scenario_dir = if self.scenario_dir.as_os_str().is_empty() { here } else { &self.scenario_dir };
        let roots = [scenario_dir, &self.data_dir].into_iter().chain(more.iter().map(PathBuf::as_path));
        if roots.filter_map(|root| root.canonicalize().ok()).any(|root| real.starts_with(root)) {
            return Ok(());
        }
        let folder = real.parent().unwrap_or(&real).display().to_string();
        Err(OutOfReach { path: real.display().to_string(), folder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_lies_elsewhere_is_out_of_reach_whatever_the_way_to_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for folder in ["scenarios/traces", "data", "home", "scenarios-of-others"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["scenarios/traces/a.csv", "data/b.jsonl", "home/key", "scenarios-of-others/c"] {
            fs::write(at(file), "").unwrap();
        }
        let site = |reach| Site {
            scenario_dir: at("scenarios"),
            data_dir: at("data"),
            cache_dir: at("cache"),
            reach,
        };
        let narrow = site(Reach::Below(Vec::new()));
        let permits = |site: &Site, path: &str| site.permit(&site.resolve(path)).is_ok();
        for inside in ["traces/a.csv", "data:b.jsonl", "./traces/../traces/a.csv", "no-such-file"] {
            assert!(permits(&narrow, inside), "{inside}");
        }
        let home = at("home/key").display().to_string();
        for outside in ["../home/key", "data:../home/key", &home, "../scenarios-of-others/c"] {
            assert!(!permits(&narrow, outside), "{outside}");
            assert!(permits(&site(Reach::Anywhere), outside));
        }
        assert!(permits(&site(Reach::Below(vec![at("home")])), "../home/key"));
        let nowhere = Site { data_dir: PathBuf::new(), ..site(Reach::Anywhere) };
        assert_eq!((nowhere.knows("data:b.jsonl"), nowhere.knows("a.csv")), (Err(NoDataFolder), Ok(())));
        assert!(nowhere.resolve("data:b.jsonl").starts_with(at("scenarios")), "not in the present folder");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("home"), at("scenarios/link")).unwrap();
            assert!(!permits(&narrow, "link/key"), "a link is followed");
        }
    }
}
