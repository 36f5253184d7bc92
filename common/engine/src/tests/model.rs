//! The commit protocol as a small model, explored exhaustively: two writers on one store, a crash anywhere, a
//! compare-and-swap whose reply is lost (not applied, applied, applied after the writer has reloaded), stale reads,
//! reloads, restarts from an anchor that lags behind. Every reachable state is held to the invariants, and from each
//! of them progress must be possible without another fault. Each [`Mutant`] leaves out one rule of the protocol, and
//! must be caught: the model can fail.
//!
//! `interleave` drives the real engine through the same schedules.

mod explore;

/// A tree of at most 7 leaves: the numbers of its entries, first leaf lowest, four bits each, 0 for none. Two trees
/// are equal exactly if their roots are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Tree(u32);

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.leaves()).finish()
    }
}

impl Tree {
    fn size(self) -> u32 {
        (32 - self.0.leading_zeros()).div_ceil(4)
    }

    fn leaves(self) -> impl Iterator<Item = u8> {
        (0..self.size()).map(move |at| (self.0 >> (4 * at) & 0xf) as u8)
    }

    fn prefix(self, size: u32) -> Self {
        Self(self.0 & ((1u64 << (4 * size)) - 1) as u32)
    }

    fn extends(self, older: Self) -> bool {
        self.prefix(older.size()) == older
    }

    fn with(self, entry: u8) -> Self {
        Self(self.0 | u32::from(entry) << (4 * self.size()))
    }

    fn place(self, entry: u8) -> Option<u32> {
        self.leaves().position(|leaf| leaf == entry).map(|at| at as u32)
    }
}

/// Where a writer stands. `tip` is the tree it believes in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Writer {
    Down,
    Idle {
        tip: Tree,
    },
    /// It has looked up the entry: not stored before.
    Looked {
        tip: Tree,
        entry: u8,
    },
    /// The commit has succeeded.
    Committed {
        tip: Tree,
        entry: u8,
    },
    /// Readers see the head.
    Published {
        tip: Tree,
        entry: u8,
    },
    /// Unusable until a reload; `to` is the head of the commit whose outcome is unknown.
    Poisoned {
        durable: Tree,
        entry: u8,
        to: Option<Tree>,
        conflict: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct State {
    /// What the leaves are, and what the head is signed for.
    leaves: Tree,
    head: Tree,
    /// A commit on its way, (from, to): its writer has been told that it failed.
    late: Option<(Tree, Tree)>,
    writers: [Writer; 2],
    /// The longest head ever published by anyone, and by each writer since its start.
    published: Tree,
    shown: [Tree; 2],
    anchor: Tree,
    /// Place promised for each entry, 0 for none, else one more.
    promised: [u8; 4],
    /// Entries whose submitters were told that they are not in and never will be.
    denied: u8,
    /// Entries that each writer's clients still submit, as bits.
    wanted: [u8; 2],
    faults: u8,
    /// Another store stands in for the right one, which is kept here.
    exchanged: Option<Tree>,
    broken: Option<&'static str>,
}

/// What may happen, and how often.
#[derive(Clone, Copy)]
struct Bounds {
    writers: usize,
    wanted: [u8; 2],
    faults: u8,
    /// An operator puts another store of the same size in the place of this one, or an older copy of it.
    exchange: bool,
    mutant: Option<Mutant>,
}

/// A rule left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mutant {
    ComparesNothing,
    ComparesSizeOnly,
    TakesUnknownForNotApplied,
    TakesUnknownForApplied,
    PublishesBeforeCommit,
    AnswersBeforeCommit,
    SkipsReload,
    AcceptsStaleReload,
    LooksUpStale,
    RetriesWithoutLookUp,
    IgnoresAnchor,
}

/// One transition: its name, whether it needs no fault, and where it leads.
type Step = (&'static str, bool, State);

/// Takes a transition: its name, whether it needs no fault, and what it changes.
type Push<'a> = &'a mut dyn FnMut(&'static str, bool, &mut dyn FnMut(&mut State));

struct Model(Bounds);

impl Model {
    fn is(&self, mutant: Mutant) -> bool {
        self.0.mutant == Some(mutant)
    }

    fn start(&self) -> State {
        State {
            leaves: Tree(0),
            head: Tree(0),
            late: None,
            writers: [Writer::Down, Writer::Down],
            published: Tree(0),
            shown: [Tree(0); 2],
            anchor: Tree(0),
            promised: [0; 4],
            denied: 0,
            wanted: self.0.wanted,
            faults: self.0.faults,
            exchanged: None,
            broken: None,
        }
    }

    /// The store's compare-and-swap.
    fn swap(&self, state: &mut State, from: Tree, to: Tree) -> bool {
        let stands = if self.is(Mutant::ComparesNothing) {
            true
        } else if self.is(Mutant::ComparesSizeOnly) {
            state.head.size() == from.size()
        } else {
            state.head == from
        };
        if stands {
            // The leaves are appended to what is there; the head is what was signed.
            let entry = to.leaves().last().unwrap_or_default();
            state.leaves = state
                .leaves
                .prefix(from.size().min(state.leaves.size()))
                .with(entry);
            state.head = to;
        }
        stands
    }

    fn publish(state: &mut State, who: usize, tree: Tree) {
        if !(tree.extends(state.published) || state.published.extends(tree)) {
            state.broken = Some("two roots were published for one size");
        }
        if tree.size() < state.shown[who].size() {
            state.broken = Some("a published head was taken back");
        }
        state.shown[who] = tree;
        if tree.size() > state.published.size() {
            state.published = tree;
        }
    }

    fn acknowledge(state: &mut State, who: usize, entry: u8, place: u32) {
        let promised = &mut state.promised[usize::from(entry)];
        if *promised != 0 && *promised != place as u8 + 1 {
            state.broken = Some("an entry was promised two places");
        }
        *promised = place as u8 + 1;
        state.wanted[who] &= !(1 << entry);
    }

    /// What holds in every state.
    fn check(state: &mut State) {
        if state.broken.is_some() {
            return;
        }
        // While an operator has put another store in its place, nothing can be said about what it holds.
        if state.exchanged.is_some() {
            if state.head != state.leaves {
                state.broken = Some("the leaves do not hash to the signed head");
            }
            return;
        }
        for (entry, place) in state.promised.iter().enumerate().filter(|(_, place)| **place > 0) {
            if state.leaves.place(entry as u8) != Some(u32::from(*place) - 1) {
                state.broken = Some("an acknowledged entry is not in the tree");
            }
        }
        let leaves = state
            .leaves
            .leaves()
            .fold(0u16, |seen, entry| seen + (1 << (4 * entry.min(3))));
        if (1..4).any(|entry| leaves >> (4 * entry) & 0xf > 1) {
            state.broken = Some("an entry is in the tree twice");
        }
        if state
            .leaves
            .leaves()
            .any(|entry| state.denied & (1 << entry) != 0)
        {
            state.broken = Some("an entry is in the tree that was denied");
        }
        if state.head != state.leaves {
            state.broken = Some("the leaves do not hash to the signed head");
        }
        if !state.head.extends(state.published) {
            state.broken = Some("a published head is not in the store");
        }
    }

    fn steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        for who in 0..self.0.writers {
            self.writer_steps(state, who, &mut steps);
        }
        if let Some((from, to)) = state.late {
            let mut next = *state;
            next.late = None;
            steps.push(("a late commit is lost", true, next));
            self.swap(&mut next, from, to);
            steps.push(("a late commit arrives", true, next));
        }
        if self.0.exchange {
            self.operator_steps(state, &mut steps);
        }
        for (_, _, next) in &mut steps {
            Self::check(next);
        }
        steps
    }

    /// Another store of the same size, or an older copy; and the right one again, with every writer stopped.
    ///
    /// Only once the anchor and the running writer know the published head: what neither knows cannot be missed, which
    /// is the limit that [`crate::anchor`] states.
    fn operator_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let known = match state.writers[0] {
            Writer::Down => state.anchor,
            Writer::Idle { tip }
            | Writer::Looked { tip, .. }
            | Writer::Committed { tip, .. }
            | Writer::Published { tip, .. } => tip,
            Writer::Poisoned { durable, .. } => durable,
        };
        let mut next = *state;
        if let Some(right) = state.exchanged {
            (next.leaves, next.head, next.exchanged) = (right, right, None);
            next.writers = [Writer::Down; 2];
            next.shown = [Tree(0); 2];
            steps.push(("the operator puts the right store back", true, next));
        } else if state.faults > 0
            && state.late.is_none()
            && state.head.size() > 0
            && [state.published, state.anchor, known] == [state.head; 3]
        {
            next.faults -= 1;
            next.exchanged = Some(state.head);
            let size = state.head.size();
            let other = (0..size).fold(Tree(0), |tree, _| tree.with(0xf));
            (next.leaves, next.head) = (other, other);
            steps.push(("another store of the same size is put in its place", false, next));
            let older = state.head.prefix(size - 1);
            (next.leaves, next.head) = (older, older);
            steps.push(("an older copy of the store is put in its place", false, next));
        }
    }

    fn writer_steps(&self, state: &State, who: usize, steps: &mut Vec<Step>) {
        let writer = state.writers[who];
        let mut push = |name, good, change: &mut dyn FnMut(&mut State)| {
            let mut next = *state;
            change(&mut next);
            steps.push((name, good, next));
        };
        let to = |writer: Writer| move |next: &mut State| next.writers[who] = writer;
        if writer != Writer::Down && state.faults > 0 {
            push("a writer crashes", false, &mut |next| {
                next.faults -= 1;
                next.writers[who] = Writer::Down;
                next.shown[who] = Tree(0);
            });
        }
        // The anchor is advanced beside the path of the waiters, and may lag.
        if writer != Writer::Down && state.shown[who].size() > state.anchor.size() {
            push("the anchor is advanced", true, &mut |next| {
                next.anchor = next.shown[who]
            });
        }
        match writer {
            Writer::Down => {
                for (name, good, seen) in self.reads(state) {
                    // A start verifies the head against the leaves, and that the store extends the anchor.
                    let refused = !seen.extends(state.anchor) && !self.is(Mutant::IgnoresAnchor);
                    push(name, good, &mut |next| {
                        next.faults -= u8::from(!good);
                        if !refused {
                            next.writers[who] = Writer::Idle { tip: seen };
                            Self::publish(next, who, seen);
                        }
                    });
                }
            }
            Writer::Idle { tip } => {
                let wanted = (1..4).filter(|entry| state.wanted[who] & (1 << entry) != 0);
                for entry in wanted {
                    // The look-up sees what is stored; rows beyond the own head are another writer's.
                    let known = if self.is(Mutant::LooksUpStale) {
                        tip.prefix(tip.size().saturating_sub(1)).place(entry)
                    } else {
                        tip.place(entry)
                    };
                    match known {
                        Some(place) => push("a duplicate is answered", true, &mut |next| {
                            Self::acknowledge(next, who, entry, place);
                        }),
                        None => push(
                            "an entry is looked up",
                            true,
                            &mut to(Writer::Looked { tip, entry }),
                        ),
                    }
                    if state.faults > 0 {
                        push("a look-up fails", false, &mut |next| {
                            next.faults -= 1;
                            next.writers[who] = Writer::Poisoned {
                                durable: tip,
                                entry,
                                to: None,
                                conflict: false,
                            };
                        });
                    }
                }
            }
            Writer::Looked { tip, entry } => self.commit(state, who, tip, entry, &mut push),
            Writer::Committed { tip, entry } => push("a head is published", true, &mut |next| {
                Self::publish(next, who, tip);
                next.writers[who] = Writer::Published { tip, entry };
            }),
            Writer::Published { tip, entry } => push("an entry is acknowledged", true, &mut |next| {
                if let Some(place) = tip.place(entry) {
                    Self::acknowledge(next, who, entry, place);
                }
                next.writers[who] = Writer::Idle { tip };
            }),
            Writer::Poisoned {
                durable,
                entry,
                to,
                conflict,
            } => {
                self.reload(state, who, (durable, entry, to, conflict), &mut push);
            }
        }
    }

    /// The store as a read may see it: as it is, or, with a fault, as it was.
    fn reads(&self, state: &State) -> Vec<(&'static str, bool, Tree)> {
        let mut reads = vec![("the store is read", true, state.head)];
        if state.faults > 0 {
            let older = 0..state.head.size();
            reads.extend(older.map(|size| ("a stale store is read", false, state.head.prefix(size))));
        }
        reads
    }

    fn commit(&self, state: &State, who: usize, tip: Tree, entry: u8, push: Push<'_>) {
        let to = tip.with(entry);
        let early = |next: &mut State| {
            if self.is(Mutant::PublishesBeforeCommit) {
                Self::publish(next, who, to);
            }
            if self.is(Mutant::AnswersBeforeCommit) {
                Self::acknowledge(next, who, entry, tip.size());
            }
        };
        let poisoned = |to, conflict| Writer::Poisoned {
            durable: tip,
            entry,
            to,
            conflict,
        };
        push("a commit", true, &mut |next| {
            early(next);
            next.writers[who] = if self.swap(next, tip, to) {
                Writer::Committed { tip: to, entry }
            } else if self.is(Mutant::SkipsReload) {
                Writer::Idle { tip }
            } else {
                poisoned(None, true)
            };
        });
        if state.faults == 0 {
            return;
        }
        let unknown = |next: &mut State| {
            next.faults -= 1;
            next.writers[who] = if self.is(Mutant::TakesUnknownForApplied) {
                Writer::Committed { tip: to, entry }
            } else if self.is(Mutant::SkipsReload) {
                Writer::Idle { tip }
            } else {
                poisoned(Some(to), false)
            };
        };
        push("a commit fails", false, &mut |next| {
            early(next);
            unknown(next);
        });
        push("a commit fails and is applied", false, &mut |next| {
            early(next);
            self.swap(next, tip, to);
            unknown(next);
        });
        if state.late.is_none() {
            push("a commit fails and is on its way", false, &mut |next| {
                early(next);
                next.late = Some((tip, to));
                unknown(next);
            });
        }
    }

    fn reload(
        &self,
        state: &State,
        who: usize,
        (durable, entry, to, conflict): (Tree, u8, Option<Tree>, bool),
        push: Push<'_>,
    ) {
        for (name, good, seen) in self.reads(state) {
            // The store must extend what this writer knows to be durable.
            let refused = !seen.extends(durable) && !self.is(Mutant::AcceptsStaleReload);
            push(name, good, &mut |next| {
                next.faults -= u8::from(!good);
                if refused {
                    return;
                }
                next.writers[who] = match to {
                    // It is in, also below what another writer has added.
                    Some(to) if seen.extends(to) => Writer::Committed { tip: seen, entry },
                    _ if conflict && self.is(Mutant::RetriesWithoutLookUp) => {
                        Writer::Looked { tip: seen, entry }
                    }
                    // Not in, or not yet: clients are told to try again, and nothing else.
                    _ => Writer::Idle { tip: seen },
                };
                if let Writer::Idle { tip } = next.writers[who] {
                    Self::publish(next, who, tip);
                    if to.is_some() && self.is(Mutant::TakesUnknownForNotApplied) {
                        next.denied |= 1 << entry;
                        next.wanted[who] &= !(1 << entry);
                    }
                }
            });
        }
    }
}
