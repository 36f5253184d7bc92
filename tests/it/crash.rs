//! `kill -9` at any moment: what was acknowledged is there, and no tree forked.
//!
//! `SIGBOX_KILLS` says how often; `tests/run torture kills` does it a thousand times. The kernel keeps what a killed
//! process wrote, so this shows the order of our own steps; that they wait for the disk is `durable`'s to show.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use tests::entries::Key;
use tests::reads::{Broken, Log};
use tests::receipts::{Answer, Receipts, Writer};
use tests::stack::{Launch, Ports, Stack, signal, up};
use tests::{fsck, say};
use tokio::task::JoinHandle;

const WRITERS: usize = 16;
/// The longest a process serves before it is killed.
const SERVING: Duration = Duration::from_millis(350);
/// One process in so many is killed while it starts: it recovers what the one before left.
const EARLY: usize = 4;
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Receipts of each log that are looked at after every restart.
const SAMPLE: usize = 3;

/// Writes to one log until the server is gone.
async fn write(writer: Writer, receipts: Arc<Mutex<Receipts>>, log: Log, seed: String) {
    let key = Key::generate();
    for n in 0u64.. {
        match writer.write(log, &key, &format!("{seed} {n}")).await.unwrap() {
            Answer::Promised(receipt) => receipts.lock().unwrap().keep(&receipt).unwrap(),
            Answer::Refused => {}
            Answer::Gone => return,
        }
    }
}

fn kills() -> usize {
    std::env::var("SIGBOX_KILLS").map_or(10, |text| text.parse().unwrap())
}

fn random(limit: Duration) -> Duration {
    let mut bytes = [0; 4];
    rand::fill(&mut bytes).unwrap();
    limit.mul_f64(f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX))
}

fn kill_after(pid: u32, life: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::time::sleep(life).await;
        signal(pid, "KILL");
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_lose_nothing_and_fork_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, ports, kills) = (folder.path().join("data"), Ports::free(), kills());
    let (mut receipts, mut starting) = (Receipts::default(), 0);
    // How long a start takes here and now.
    let mut usual = Duration::from_millis(300);
    let began = Instant::now();

    for round in 0..kills {
        let launch = Launch::new(&mut up(&data, &ports));
        let (pid, born) = (launch.pid(), Instant::now());
        let early = (round % EARLY == EARLY - 1).then(|| kill_after(pid, random(usual)));
        let launched = tokio::task::spawn_blocking(move || launch.ready(READY_LIMIT));
        match launched.await.unwrap() {
            Err(not) => {
                // Nothing but our kill may end a start.
                assert!(
                    early.is_some() && not.status.is_some_and(|s| s.signal() == Some(9)),
                    "{not}"
                );
                starting += 1;
            }
            Ok(stack) => {
                usual = born.elapsed();
                // An early kill that comes too late is as good as a late one.
                if let Err(Broken::Wrong(wrong)) = serve(&stack, &mut receipts, round, early.is_none()).await
                {
                    panic!("after {round} kills: {wrong}");
                }
            }
        }
        if let Some(early) = early {
            early.await.unwrap();
        }
        if round % 100 == 99 {
            say(&format!(
                "{} of {kills} kills, {} receipts, {} s",
                round + 1,
                receipts.len(),
                began.elapsed().as_secs()
            ));
        }
    }

    let mut stack = Stack::at(&data, &ports);
    receipts.see(&stack).await.unwrap();
    assert!(receipts.len() > 5 * kills, "the load was real");
    let verified = receipts.verify(&stack).await.unwrap();
    stack.kill();
    fsck(&data).unwrap();
    say(&format!(
        "{kills} kills ({starting} while starting) in {} s: {verified}; lost 0, forks 0, fsck clean",
        began.elapsed().as_secs()
    ));
}

/// Looks at what is there, then writes until the process is gone.
async fn serve(stack: &Stack, receipts: &mut Receipts, round: usize, kill: bool) -> Result<(), Broken> {
    let writer = Writer::new(stack).await?;
    receipts.see(stack).await?;
    receipts.sample(stack, SAMPLE, round).await?;
    let killer = kill.then(|| kill_after(stack.ready.pid, random(SERVING)));
    let shared = Arc::new(Mutex::new(std::mem::take(receipts)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let log = Log::ALL[n % Log::ALL.len()];
            let seed = format!("round {round} writer {n}");
            tokio::spawn(write(writer.clone(), Arc::clone(&shared), log, seed))
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    *receipts = std::mem::take(&mut *shared.lock().unwrap());
    if let Some(killer) = killer {
        killer.await.unwrap();
    }
    Ok(())
}
