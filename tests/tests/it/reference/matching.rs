//! Which row of a model predicts what a row of another does, and which token stands for which.

use std::collections::BTreeMap;

use cotune_models::kernels::head::SoftTargets;
use cotune_models::tokenizer::Tokenizer;
use cotune_world::lab::LabModel;

/// How rows and tokens of one model are matched with another's.
#[derive(Clone, Copy)]
pub enum Matching {
    /// Equal bytes before the row; equal bytes, or the first token of a token's spelling.
    Bytes,
    /// Warped token strings; equal strings, or the nearest.
    Warped,
}

/// Maps of one ordered pair of models.
pub struct Pair<'a> {
    teacher: &'a Tokenizer,
    student: &'a Tokenizer,
    matching: Matching,
    known: BTreeMap<u32, Option<u32>>,
}

impl<'a> Pair<'a> {
    pub fn new(teacher: &'a LabModel, student: &'a LabModel, matching: Matching) -> Self {
        let (teacher, student) = (teacher.base.tokenizer(), student.base.tokenizer());
        Self { teacher, student, matching, known: BTreeMap::new() }
    }

    /// Soft targets of a teacher's rows on its answer, for a student that reads the same answer in its own tokens.
    pub fn soft(&mut self, rows: &[Vec<f32>], theirs: &[u32], own: &[u32], k: usize) -> SoftTargets {
        let mut soft = SoftTargets { k, ..SoftTargets::default() };
        for (row_a, row_b) in self.matched(theirs, own) {
            let mut order: Vec<usize> = (0..rows[row_a].len()).collect();
            order.sort_by(|a, b| rows[row_a][*b].total_cmp(&rows[row_a][*a]).then(a.cmp(b)));
            let mut kept: Vec<(u32, f64)> = Vec::new();
            for id in order.into_iter().take(k) {
                let mapped = self.token(id as u32);
                if let Some(mapped) = mapped.filter(|mapped| kept.iter().all(|(seen, _)| seen != mapped)) {
                    kept.push((mapped, f64::from(rows[row_a][id])));
                }
            }
            let Some((first, largest)) = kept.first().copied() else { continue };
            let total: f64 = kept.iter().map(|(_, z)| (z - largest).exp()).sum();
            soft.rows.push(row_b as u32);
            for at in 0..k {
                let (id, p) = kept.get(at).map_or((first, 0.0), |(id, z)| (*id, (z - largest).exp() / total));
                soft.ids.push(id);
                soft.probabilities.push(p as f32);
            }
            soft.rest.push(0.0);
            soft.weights.push(1.0);
        }
        soft
    }

    fn matched(&self, theirs: &[u32], own: &[u32]) -> Vec<(usize, usize)> {
        if self.teacher == self.student {
            return (0..own.len()).map(|row| (row, row)).collect();
        }
        match self.matching {
            Matching::Bytes => {
                let before = |tokenizer: &Tokenizer, ids: &[u32], row: usize| -> usize {
                    ids[..row].iter().map(|id| tokenizer.token_bytes(*id).len()).sum()
                };
                let all = (0..own.len()).flat_map(|b| (0..theirs.len()).map(move |a| (a, b)));
                all.filter(|(a, b)| before(self.teacher, theirs, *a) == before(self.student, own, *b))
                    .collect()
            }
            Matching::Warped => {
                let links = warped(&strings(self.teacher, theirs), &strings(self.student, own));
                let mut pairs = vec![(0, 0)];
                for (b, token) in own[..own.len() - 1].iter().enumerate() {
                    let linked: Vec<usize> =
                        links.iter().filter(|link| link.1 == b).map(|link| link.0).collect();
                    if let [a] = linked[..]
                        && a + 1 < theirs.len()
                        && nearest(self.teacher, self.student, theirs[a]) == Some(*token)
                    {
                        pairs.push((a + 1, b + 1));
                    }
                }
                pairs
            }
        }
    }

    /// The student's token for a teacher's.
    fn token(&mut self, id: u32) -> Option<u32> {
        if self.teacher == self.student {
            return Some(id);
        }
        let (teacher, student) = (self.teacher, self.student);
        *self.known.entry(id).or_insert_with(|| match self.matching {
            Matching::Bytes => spelled(teacher, student, id),
            Matching::Warped => nearest(teacher, student, id),
        })
    }
}

/// Special tokens go by their meaning; what an ordinary one becomes is asked of `or`.
fn special(teacher: &Tokenizer, student: &Tokenizer, id: u32, or: impl Fn() -> Option<u32>) -> Option<u32> {
    match id {
        id if id == teacher.eos() => Some(student.eos()),
        id if id == teacher.pad() => Some(student.pad()),
        id if Some(id) == teacher.unknown() => student.unknown(),
        id if teacher.is_special(id) || teacher.token_text(id).is_empty() => None,
        _ => or(),
    }
}

fn ordinary(student: &Tokenizer) -> impl Iterator<Item = u32> + '_ {
    let ids = 0..student.vocab_size() as u32;
    ids.filter(|id| !student.is_special(*id) && !student.token_text(*id).is_empty())
}

fn spelled(teacher: &Tokenizer, student: &Tokenizer, id: u32) -> Option<u32> {
    special(teacher, student, id, || {
        let bytes = teacher.token_bytes(id);
        let equal = |bytes: &[u8]| ordinary(student).find(|other| student.token_bytes(*other) == bytes);
        equal(bytes).or_else(|| match std::str::from_utf8(bytes) {
            Ok(text) => student.encode(text).first().copied().filter(|first| !student.is_special(*first)),
            Err(_) => (1..bytes.len()).rev().find_map(|end| equal(&bytes[..end])),
        })
    })
}

fn nearest(teacher: &Tokenizer, student: &Tokenizer, id: u32) -> Option<u32> {
    special(teacher, student, id, || {
        let (from, to) = (teacher.surface().space(), student.surface().space());
        let text = teacher.token_text(id).replace(from, &to.to_string());
        ordinary(student).min_by_key(|other| edits(&text, student.token_text(*other)))
    })
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            next.push((row[j] + usize::from(x != *y)).min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row[b.len()]
}

/// Token strings without markers of spaces.
fn strings(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let one = |id: &u32| match *id == tokenizer.eos() {
        true => "<eos>".to_owned(),
        false => tokenizer.token_text(*id).replace(tokenizer.surface().space(), ""),
    };
    ids.iter().map(one).collect()
}

/// Dynamic time warping: every pair of positions on the cheapest path; of equal steps diagonal, up, left.
fn warped(a: &[String], b: &[String]) -> Vec<(usize, usize)> {
    let mut cost = vec![vec![f64::INFINITY; b.len() + 1]; a.len() + 1];
    cost[0][0] = 0.0;
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let least = cost[i - 1][j - 1].min(cost[i - 1][j]).min(cost[i][j - 1]);
            cost[i][j] = least + edits(&a[i - 1], &b[j - 1]) as f64;
        }
    }
    let (mut i, mut j, mut path) = (a.len(), b.len(), Vec::new());
    while i > 0 && j > 0 {
        path.push((i - 1, j - 1));
        let least = cost[i - 1][j - 1].min(cost[i - 1][j]).min(cost[i][j - 1]);
        if cost[i - 1][j - 1] == least {
            (i, j) = (i - 1, j - 1);
        } else if cost[i - 1][j] == least {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    path
}
