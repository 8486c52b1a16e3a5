//! The processes below another one, in any process group or session. Below the supervisor these are
//! the agent, what the agent has started, and what lost its parent and was adopted.

use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{self, Pid, WaitId, WaitIdOptions};

use crate::procfs::Stat;

/// A wait for other events than exits skips zombies, and fails if no other child is left.
const ALIVE: WaitIdOptions = WaitIdOptions::STOPPED
    .union(WaitIdOptions::NOHANG)
    .union(WaitIdOptions::NOWAIT);

/// The living descendants, parents before their children. Empty if `/proc` cannot be read, or belongs
/// to another PID namespace, in which the same numbers are other processes.
///
/// A process whose parent ends while the list is made may be missing. It is a child of the
/// supervisor then.
pub(crate) fn living() -> Vec<(Pid, Stat)> {
    let mut below = all().map_or_else(Vec::new, |all| below(process::getpid(), &all));
    below.retain(|(_, stat)| !stat.is_zombie());
    below
}

/// This process and the living ones below it. `None` if `/proc` does not show it.
pub(crate) fn tree(root: Pid) -> Option<Vec<Pid>> {
    let all = all()?;
    let root = all.iter().copied().find(|(pid, _)| *pid == root)?;
    let mut tree = vec![root];
    tree.extend(below(root.0, &all));
    tree.retain(|(_, stat)| !stat.is_zombie());
    Some(tree.into_iter().map(|(pid, _)| pid).collect())
}

/// All processes that `/proc` shows. `None` if it cannot be read, or belongs to another PID namespace.
fn all() -> Option<Vec<(Pid, Stat)>> {
    let own = process::getpid().to_string();
    if fs::read_link("/proc/self").ok()? != Path::new(&own) {
        return None;
    }
    let entries = fs::read_dir("/proc").ok()?;
    Some(
        entries
            .filter_map(|entry| {
                let pid = Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)?;
                Some((pid, Stat::of(pid).ok()?))
            })
            .collect(),
    )
}

fn below(root: Pid, all: &[(Pid, Stat)]) -> Vec<(Pid, Stat)> {
    let children_of = |parent: Pid| {
        all.iter()
            .copied()
            .filter(move |(_, stat)| stat.parent == parent.as_raw_pid())
    };
    let mut found: Vec<_> = children_of(root).collect();
    let mut next = 0;
    while let Some((parent, _)) = found.get(next).copied() {
        for child in children_of(parent) {
            if !found.contains(&child) {
                found.push(child);
            }
        }
        next += 1;
    }
    found
}

/// Whether a child of the supervisor lives.
///
/// As long as any descendant does, one is a child: either the descendant is, or its parent is
/// another descendant.
pub(crate) fn has_living_child() -> bool {
    !matches!(process::waitid(WaitId::All, ALIVE), Err(Errno::CHILD))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn descendants_are_all_below_a_process_and_no_others() {
        let stat = |pid: i32, parent: i32| {
            let mut stat = Stat::of(process::getpid()).unwrap();
            stat.parent = parent;
            (Pid::from_raw(pid).unwrap(), stat)
        };
        // PIDs wrap around, so that a child may have a lower one than its parent.
        let all = [
            (1, 0),
            (7, 30),
            (10, 1),
            (20, 10),
            (30, 20),
            (31, 20),
            (40, 1),
            (50, 40),
        ];
        let all = all.map(|(pid, parent)| stat(pid, parent));
        let below = |root: i32| -> Vec<i32> {
            let root = Pid::from_raw(root).unwrap();
            let found = super::below(root, &all);
            found.iter().map(|(pid, _)| pid.as_raw_pid()).collect()
        };
        assert_eq!(below(10), [20, 30, 31, 7]);
        assert_eq!(below(40), [50]);
        assert_eq!(below(7), [] as [i32; 0]);
        // A list that was made while PIDs were reused.
        let all = [stat(20, 30), stat(30, 20)];
        assert_eq!(super::below(Pid::from_raw(20).unwrap(), &all).len(), 2);
    }

    #[test]
    fn child_is_found_and_a_zombie_is_not() {
        let mut child = Command::new("sh")
            .args(["-c", "cat; :"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        assert!(has_living_child());
        assert!(living().iter().any(|(found, _)| *found == pid));
        drop(child.stdin.take());
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        process::waitid(WaitId::Pid(pid), options).unwrap();
        assert!(!living().iter().any(|(found, _)| *found == pid));
        child.wait().unwrap();
    }
}
