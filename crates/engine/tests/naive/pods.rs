//! Creating, deleting and rolling pods: specification 1.D to 1.F.

use super::*;

impl Set {
    /// One more pod was created on a node, or may have been.
    pub(super) fn note_creation(&mut self, node: &str, now: Time) {
        let (creations, last, _) = self.churn.entry(node.to_owned()).or_insert((0, now, None));
        (*creations, *last) = (*creations + 1, now);
    }
}

impl Naive {
    pub(super) fn wanted(&self, uid: Uid, now: Time) -> Vec<String> {
        let surge = self.sets[&uid].fact.strategy.allows_surge();
        let wants = |cell: &Cell<'_>| {
            let run = cell.verdict == Some(Verdict::RUN) && cell.settled;
            let running = cell.pods.iter().any(|one| !one.leaving() && !one.pod.phase.is_terminal());
            run && (cell.pods.is_empty() || surge && !running && cell.has_room())
                && !self.is_there(uid, cell.name)
        };
        let nodes = self.cells(uid).into_iter().filter(wants).map(|cell| cell.name.to_owned()).collect();
        self.in_line(uid, nodes, now)
    }

    /// Nodes in the order in which pods are created on them, without those that wait after a failure.
    fn in_line(&self, uid: Uid, nodes: Vec<String>, now: Time) -> Vec<String> {
        let set = &self.sets[&uid];
        let is_braked = |node: &String| {
            set.churn.get(node).is_some_and(|(creations, last, _)| {
                let pause = match creations {
                    0..=5 => 0,
                    _ => (1_000_i64 << (creations - 6).min(20)).min(300_000),
                };
                now.millis_since(*last) < pause
            })
        };
        let (mut again, mut fresh): (Vec<String>, Vec<String>) = nodes
            .into_iter()
            .filter(|node| !is_braked(node))
            .partition(|node| set.refused.contains_key(node));
        again.retain(|node| set.refused[node].1 <= now);
        again.sort_by_key(|node| (set.refused[node].1, node.clone()));
        let failures = set.retry.get("creates").map_or(0, |retry| retry.failures);
        if failures > 0 && !fresh.is_empty() {
            let elsewhere = fresh.remove(failures as usize * 2_654_435_761 % fresh.len());
            fresh.insert(0, elsewhere);
        }
        fresh.into_iter().chain(again).collect()
    }

    /// Forgets the creations on nodes where the pod that came of them is ready, or where it was quiet for long.
    pub(super) fn forget_churn(&mut self, uid: Uid, now: Time) {
        let cells = self.cells(uid);
        let pods = cells.iter().flat_map(|cell| cell.pods.iter()).filter(|one| one.pod.ready);
        let ready: Vec<Uid> = pods.map(|one| one.pod.uid).collect();
        if let Some(set) = self.sets.get_mut(&uid) {
            let serves = |made: &Option<Uid>| made.is_some_and(|made| ready.contains(&made));
            set.churn.retain(|_, (_, last, made)| !serves(made) && now.millis_since(*last) < 600_000);
        }
    }

    pub(super) fn in_backoff(&self, uid: Uid, node: &str, now: Time) -> bool {
        let set = &self.sets[&uid];
        set.failed.get(node).is_some_and(|(generation, delay, at)| {
            *generation == set.stored.observed_generation
                && now.millis_since(*at) < *delay
                && now.millis_since(*at) <= 2 * self.limits.failed_pod_last_millis
        })
    }

    /// Node, pod, and the event's reason if there is one.
    pub(super) fn excess(&self, uid: Uid, now: Time) -> Vec<(String, Pod, Option<Phase>)> {
        let surge = self.sets[&uid].fact.strategy.allows_surge();
        let mut found = Vec::new();
        for cell in self.cells(uid).into_iter().filter(|cell| cell.settled) {
            let mut delete = |one: &NaivePod, why| found.push((cell.name.to_owned(), one.pod.clone(), why));
            let staying: Vec<&NaivePod> = cell.pods.iter().copied().filter(|one| !one.leaving()).collect();
            let Some(verdict) = cell.verdict else {
                staying.iter().filter(|one| !one.pod.bound).for_each(|one| delete(one, None));
                continue;
            };
            if !verdict.should_continue {
                staying.iter().for_each(|one| delete(one, None));
                continue;
            }
            let mut running = Vec::new();
            let mut waits = self.in_backoff(uid, cell.name, now);
            for one in staying {
                match one.pod.phase {
                    Phase::Failed if !waits => {
                        waits = true;
                        delete(one, Some(Phase::Failed));
                    }
                    Phase::Failed => {}
                    Phase::Succeeded => delete(one, Some(Phase::Succeeded)),
                    _ => running.push(one),
                }
            }
            if !surge {
                running.iter().skip(1).for_each(|one| delete(one, None));
            } else if running.len() > 1 {
                let new: Vec<_> = running.iter().filter(|one| self.has_hash(uid, &one.pod)).collect();
                let old: Vec<_> = running.iter().filter(|one| !self.has_hash(uid, &one.pod)).collect();
                new.iter().skip(1).chain(old.iter().skip(1)).for_each(|one| delete(one, None));
                if let (Some(old), Some(new)) = (old.first(), new.first())
                    && (!old.pod.ready || self.available(uid, &new.pod, now))
                {
                    delete(old, None);
                }
            }
        }
        found
    }

    pub(super) fn may_delete(&self, uid: Uid, now: Time) -> bool {
        self.in_flight(uid, "deletes") < self.limits.deletes_in_flight && !self.blocked(uid, "deletes", now)
    }

    pub(super) fn delete(&mut self, uid: Uid, pod: &Pod) {
        if let Some(row) = self.pods.get_mut(&pod.uid) {
            row.delete_sent = true;
        }
        let reference = PodRef { name: pod.name.as_str().into(), uid: pod.uid };
        let pending = Pending::Delete(uid, reference.clone());
        self.ask(uid, "deletes", Work::DeletePod(reference), Some(pending));
    }

    pub(super) fn manage_deletes(&mut self, uid: Uid, now: Time) {
        for (node, pod, why) in self.excess(uid, now) {
            if !self.may_delete(uid, now) {
                return;
            }
            let text = format!("daemon pod {}/{} on node {node}, will try to", pod.namespace, pod.name);
            match why {
                Some(Phase::Failed) => {
                    self.event(uid, true, "FailedDaemonPod", format!("Found failed {text} kill it"));
                    self.arm(uid, &node, now);
                }
                Some(_) => {
                    self.event(uid, false, "SucceededDaemonPod", format!("Found succeeded {text} delete it"))
                }
                None => {}
            }
            self.delete(uid, &pod);
        }
    }

    pub(super) fn arm(&mut self, uid: Uid, node: &str, now: Time) {
        let limits = self.limits;
        let Some(set) = self.sets.get_mut(&uid) else { return };
        let generation = set.stored.observed_generation;
        let old = set.failed.get(node).filter(|(one, ..)| *one == generation);
        let delay = old.map_or(limits.failed_pod_first_millis, |(_, delay, _)| {
            (delay * 2).min(limits.failed_pod_last_millis)
        });
        set.failed.insert(node.to_owned(), (generation, delay, now));
    }

    pub(super) fn budgets(&self, uid: Uid) -> Option<(i32, i32)> {
        let Strategy::RollingUpdate { max_unavailable, max_surge } = self.sets[&uid].fact.strategy else {
            return None;
        };
        let desired = self.desired(uid);
        match (max_unavailable.scaled(desired), max_surge.scaled(desired)) {
            (0, 0) if desired > 0 => Some((1, 0)),
            both => Some(both),
        }
    }

    pub(super) fn desired(&self, uid: Uid) -> i32 {
        self.cells(uid).iter().filter(|cell| cell.verdict == Some(Verdict::RUN)).count() as i32
    }

    pub(super) fn old_and_new<'a>(
        &self,
        uid: Uid,
        cell: &Cell<'a>,
    ) -> (Vec<&'a NaivePod>, Vec<&'a NaivePod>) {
        let staying = cell.pods.iter().copied().filter(|one| !one.leaving());
        staying.partition(|one| !self.updated(uid, &one.pod))
    }

    pub(super) fn roll(&mut self, uid: Uid, now: Time) {
        let Some((max_unavailable, max_surge)) = self.budgets(uid) else { return };
        let (mut at_once, mut candidates, mut sunset) = (Vec::new(), Vec::new(), Vec::new());
        let (mut unavailable, mut available, mut missing) = (0, 0, false);
        for cell in self.cells(uid) {
            let run = cell.verdict == Some(Verdict::RUN);
            if !run && cell.pods.is_empty() {
                continue;
            }
            let (old, new) = self.old_and_new(uid, &cell);
            let is_available = |one: &&NaivePod| self.available(uid, &one.pod, now);
            if old.len() > 1 || new.len() > 1 {
                unavailable += 1;
                continue;
            }
            let settled = cell.settled;
            // One deletion of a node at a time, as expectations have it (H2).
            let may_go = settled && cell.has_room();
            let first = old.first().or(new.first());
            available += i32::from(first.is_some_and(is_available));
            match (old.first(), new.first()) {
                (Some(old), None) if max_surge == 0 => {
                    unavailable += i32::from(!is_available(old));
                    match is_available(old) {
                        _ if !may_go => {}
                        true => candidates.push(old.pod.clone()),
                        false => at_once.push(old.pod.clone()),
                    }
                }
                (None, Some(new)) => unavailable += i32::from(!is_available(new)),
                (Some(_), Some(_)) if max_surge == 0 => unavailable += 1,
                (Some(old), Some(new)) if is_available(new) && may_go => at_once.push(old.pod.clone()),
                (Some(_), None) if cell.verdict.is_none() => missing = true,
                (Some(old), None) if !run && settled => {
                    if is_available(old) {
                        sunset.push(old.pod.clone())
                    } else {
                        at_once.push(old.pod.clone())
                    }
                }
                (None, None) => unavailable += 1,
                _ => {}
            }
        }
        if max_surge > 0 && missing {
            return;
        }
        candidates.truncate((max_unavailable - unavailable).max(0) as usize);
        sunset.truncate((available - self.desired(uid)).max(0) as usize);
        for pod in at_once.into_iter().chain(candidates).chain(sunset) {
            if self.may_delete(uid, now) {
                self.delete(uid, &pod);
            }
        }
    }

    /// The nodes for a second pod, and how many of them are within the budget at most.
    pub(super) fn surge(&self, uid: Uid, now: Time) -> Vec<String> {
        let Some((_, max_surge)) = self.budgets(uid).filter(|(_, surge)| *surge > 0) else {
            return Vec::new();
        };
        let (mut now_list, mut candidates, mut surging) = (Vec::new(), Vec::new(), 0);
        for cell in self.cells(uid) {
            let run = cell.verdict == Some(Verdict::RUN);
            let (old, new) = self.old_and_new(uid, &cell);
            if old.len() > 1 || new.len() > 1 {
                surging += 1;
                continue;
            }
            match (old.first(), new.first()) {
                (Some(_), Some(new)) => surging += i32::from(!self.available(uid, &new.pod, now)),
                (Some(_), None) if cell.verdict.is_none() => return Vec::new(),
                (Some(_), None) if !cell.settled || run && !cell.has_room() => surging += 1,
                (Some(old), None) if run => {
                    let name = cell.name.to_owned();
                    if self.is_there(uid, &name) {
                        continue;
                    }
                    if self.available(uid, &old.pod, now) {
                        candidates.push(name)
                    } else {
                        now_list.push(name)
                    }
                }
                _ => {}
            }
        }
        let (now_list, mut candidates) =
            (self.in_line(uid, now_list, now), self.in_line(uid, candidates, now));
        candidates.truncate((max_surge - surging - now_list.len() as i32).max(0) as usize);
        now_list.into_iter().chain(candidates).collect()
    }

    pub(super) fn create(&mut self, uid: Uid, nodes: Vec<String>, now: Time) {
        if self.in_flight(uid, "creates") > 0 || self.blocked(uid, "creates", now) {
            return;
        }
        let batch = self.sets[&uid].batch;
        for node in nodes.into_iter().take(batch) {
            let name = self.pod_name(uid, &node);
            let Some(set) = self.sets.get_mut(&uid) else { return };
            let new = NewPod {
                node: node.as_str().into(),
                name: name.clone(),
                template: set.fact.template.clone(),
                hash: set.hash.clone().unwrap_or_default().into(),
                template_generation: set.fact.template_generation,
            };
            let before = set.creating.insert(node.clone(), Creating::InFlight);
            let is_repeated = matches!(before, Some(Creating::Unknown { .. }));
            let pending = Pending::Create { set: uid, node, name, is_repeated };
            self.ask(uid, "creates", Work::CreatePod(new), Some(pending));
        }
    }
}
