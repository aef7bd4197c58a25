use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::cache::marks;
use crate::cache::memory::Value;
use crate::cache::{Label, Seen};
use crate::retry::{SeededRandom, SystemClock};
use crate::types::{Answer, CacheTier, Completion};

const NOW: u64 = 1_800_000_000_000;

fn settings(path: &Path) -> Settings {
    Settings {
        path: path.to_path_buf(),
        limits: [1 << 20, 1 << 20],
        max_body: 1 << 20,
        compress_from: 1 << 10,
        encrypt: true,
        secret: None,
    }
}

fn disk(settings: Settings) -> Disk {
    let guard = Guard::new(
        CacheTier::Disk,
        Arc::new(SystemClock::new()),
        Arc::new(SeededRandom::new(7)),
        Duration::from_secs(10),
    );
    Disk::new(guard, settings)
}

fn key(n: u32) -> Key {
    Key(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn kept(n: u32, text: &str) -> Arc<Kept> {
    let completion = Completion::from(Answer {
        text: text.into(),
        ..Answer::default()
    });
    let value = Value::Completion {
        completion: Arc::new(completion),
        events: None,
    };
    // As if nothing was ever invalidated.
    let seen = Seen {
        disk: Some(marks::digest(&[marks::NONE; 2])),
        ..Seen::default()
    };
    let label = Label::new(None, &seen);
    Arc::new(Kept::new(Kind::Completion, key(n), value, label))
}

fn for_ms(ms: u64) -> Times {
    Times {
        created: NOW,
        fresh_until: NOW + ms,
        kept_until: NOW + ms,
        cost_ms: 0,
    }
}

/// Text that does not shrink by being packed.
fn noise(n: u32, bytes: usize) -> String {
    let mut text = String::new();
    let mut i = 0_u32;
    while text.len() < bytes {
        text.push_str(&blake3::hash(&[n.to_le_bytes(), i.to_le_bytes()].concat()).to_hex());
        i += 1;
    }
    text
}

async fn find(disk: &Disk, keys: &[Key], now: u64) -> Result<Option<Found>, Fault> {
    let scopes = Scopes::new(None, "openai/m", &BTreeMap::new());
    let found = disk.find(Kind::Completion, keys, &scopes, now).await;
    found.map(|(found, _)| found)
}

async fn text(disk: &Disk, n: u32, now: u64) -> Option<String> {
    let found = find(disk, &[key(n)], now).await.unwrap()?;
    match found.value {
        Value::Completion { completion, .. } => Some(completion.text.clone()),
        Value::Embedding(_) => None,
    }
}

fn file(path: &Path, n: u32) -> PathBuf {
    let name = key(n).hex();
    path.join("ossai-cache-1/completions")
        .join(&name[..2])
        .join(&name)
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for shard in fs::read_dir(path.join("ossai-cache-1/completions")).unwrap() {
        let shard = fs::read_dir(shard.unwrap().path()).unwrap();
        found.extend(shard.map(|entry| entry.unwrap().path()));
    }
    found
}

fn taken(path: &Path) -> u64 {
    let sizes = files(path)
        .into_iter()
        .map(|file| fs::metadata(file).map_or(0, |m| m.len()));
    sizes.map(|size| size.div_ceil(4_096) * 4_096).sum()
}

// proves: 2.11.disk
#[tokio::test]
async fn what_one_process_keeps_another_finds() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (disk(settings(folder.path())), disk(settings(folder.path())));
    a.keep(&kept(1, "Hi"), for_ms(1_000), NOW).await;
    assert_eq!(text(&b, 1, NOW + 999).await.as_deref(), Some("Hi"));
    assert_eq!(text(&b, 2, NOW).await, None);
    assert_eq!(text(&b, 1, NOW + 1_000).await, None, "its time is over");
    assert!(files(folder.path()).is_empty(), "and it is taken away");
}

// proves: 2.11.disk
#[cfg(unix)]
#[tokio::test]
async fn files_are_private_named_by_digest_and_unreadable_without_the_key() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/anew");
    let disk = disk(settings(&path));
    disk.keep(&kept(1, "a secret answer"), for_ms(1_000), NOW)
        .await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let root = path.join("ossai-cache-1");
    let written = file(&path, 1);
    for folder in [
        &path,
        &root,
        &root.join("completions"),
        &written.parent().unwrap().to_path_buf(),
    ] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    for file in [&root.join("key"), &root.join("completions.lock"), &written] {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    let bytes = fs::read(&written).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"secret"));
    fs::remove_file(root.join("key")).unwrap();
    let other = super::tests::disk(settings(&path));
    assert_eq!(text(&other, 1, NOW).await, None);
}

// proves: 2.11.disk
#[cfg(unix)]
#[tokio::test]
async fn a_folder_others_could_read_is_closed_and_a_key_they_could_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("ossai-cache-1");
    fs::create_dir(&root).unwrap();
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    open(&root, 0o755).unwrap();
    disk(settings(folder.path()))
        .keep(&kept(1, "Hi"), for_ms(9), NOW)
        .await;
    assert_eq!(
        fs::metadata(&root).unwrap().permissions().mode() & 0o777,
        0o700
    );
    open(&root.join("key"), 0o644).unwrap();
    let found = find(&disk(settings(folder.path())), &[key(1)], NOW).await;
    assert_eq!(
        found.map(|found| found.is_some()),
        Err(Fault::Foreign("foreign"))
    );
}

// proves: 3.disk-corrupt
#[tokio::test]
async fn a_damaged_swapped_or_truncated_file_is_a_miss_and_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(settings(folder.path()));
    disk.keep(&kept(1, "one"), for_ms(1_000), NOW).await;
    disk.keep(&kept(2, "two"), for_ms(1_000), NOW).await;
    let good = fs::read(file(folder.path(), 1)).unwrap();
    for at in (0..good.len()).step_by(3) {
        let mut broken = good.clone();
        broken[at] ^= 0x40;
        fs::write(file(folder.path(), 1), broken).unwrap();
        assert_eq!(text(&disk, 1, NOW).await, None, "byte {at}");
        assert!(!file(folder.path(), 1).exists(), "byte {at}");
    }
    for length in [0, 1, 50, good.len() - 1] {
        fs::write(file(folder.path(), 1), &good[..length]).unwrap();
        assert_eq!(text(&disk, 1, NOW).await, None);
    }
    fs::copy(file(folder.path(), 2), file(folder.path(), 1)).unwrap();
    assert_eq!(text(&disk, 1, NOW).await, None, "another key's answer");
    assert_eq!(text(&disk, 2, NOW).await.as_deref(), Some("two"));
    disk.keep(&kept(1, "one"), for_ms(1_000), NOW).await;
    assert_eq!(text(&disk, 1, NOW).await.as_deref(), Some("one"));
}

// proves: 3.disk-corrupt
#[cfg(unix)]
#[tokio::test]
async fn links_and_pipes_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(settings(folder.path()));
    disk.keep(&kept(1, "one"), for_ms(1_000), NOW).await;
    let place = file(folder.path(), 1);
    let target = folder.path().join("elsewhere");
    fs::rename(&place, &target).unwrap();
    std::os::unix::fs::symlink(&target, &place).unwrap();
    assert_eq!(text(&disk, 1, NOW).await, None);
    assert!(fs::symlink_metadata(&place).is_err() && target.exists());
    let made = std::process::Command::new("mkfifo").arg(&place).status();
    if made.is_ok_and(|status| status.success()) {
        assert_eq!(
            text(&disk, 1, NOW).await,
            None,
            "and nobody waits for a writer"
        );
    }
    // A link in place of the unfinished file is taken away, what it leads to is left alone.
    let unfinished = folder.path().join("ossai-cache-1/completions.tmp");
    std::os::unix::fs::symlink(&target, &unfinished).unwrap();
    let before = fs::read(&target).unwrap();
    disk.keep(&kept(1, "anew"), for_ms(1_000), NOW).await;
    assert_eq!(text(&disk, 1, NOW).await.as_deref(), Some("anew"));
    assert_eq!(fs::read(&target).unwrap(), before);
}

// proves: 2.11.disk
#[tokio::test]
async fn several_writers_keep_one_limit_between_them_at_every_moment() {
    let folder = tempfile::tempdir().unwrap();
    let limited = || Settings {
        limits: [200_000, 0],
        ..settings(folder.path())
    };
    let disks = [disk(limited()), disk(limited())];
    for n in 0..120_u32 {
        let disk = &disks[usize::from(n % 2 == 0)];
        disk.keep(
            &kept(n, &noise(n, 5_000)),
            for_ms(1_000 + u64::from(n)),
            NOW,
        )
        .await;
        assert!(taken(folder.path()) <= 200_000, "after {n}");
        assert!(text(disk, n, NOW).await.is_some(), "the newest is there");
    }
    let stats = disks.map(|disk| disk.guard.stats());
    assert_eq!(stats.iter().map(|stats| stats.stores).sum::<u64>(), 120);
    assert!(stats.iter().map(|stats| stats.evicted).sum::<u64>() > 0);
    assert!(taken(folder.path()) > 100_000, "no more went than had to");
}

#[tokio::test]
async fn what_is_over_goes_first_then_what_has_least_time_left() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(Settings {
        limits: [40_960, 0],
        ..settings(folder.path())
    });
    let long = |n| noise(n, 3_000);
    for (n, ms) in [
        (0, 1_000),
        (1, 3_600_000),
        (2, 60_000),
        (3, 3_600_000),
        (4, 1_000),
    ] {
        disk.keep(&kept(n, &long(n)), for_ms(ms), NOW).await;
    }
    let later = NOW + 30_000;
    for n in 5..9_u32 {
        let times = Times {
            created: later,
            fresh_until: later + 3_600_000,
            kept_until: later + 3_600_000,
            cost_ms: 0,
        };
        disk.keep(&kept(n, &long(n)), times, later).await;
    }
    let mut there = Vec::new();
    for n in 0..9 {
        if text(&disk, n, later).await.is_some() {
            there.push(n);
        }
    }
    assert!(!there.contains(&0) && !there.contains(&4), "{there:?}");
    assert!(there.contains(&8) && there.len() >= 4, "{there:?}");
}

#[tokio::test]
async fn what_does_not_fit_at_all_is_not_kept_and_makes_nobody_go() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(Settings {
        limits: [20_000, 0],
        ..settings(folder.path())
    });
    disk.keep(&kept(1, "small"), for_ms(1_000), NOW).await;
    disk.keep(&kept(2, &noise(2, 100_000)), for_ms(1_000), NOW)
        .await;
    assert_eq!(text(&disk, 2, NOW).await, None);
    assert_eq!(text(&disk, 1, NOW).await.as_deref(), Some("small"));
    assert_eq!(disk.guard.stats().dropped, 1);
}

// proves: 3.killed-writing
#[tokio::test]
async fn what_a_killed_writer_left_is_neither_read_nor_kept() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(settings(folder.path()));
    disk.keep(&kept(1, "old"), for_ms(1_000), NOW).await;
    let root = folder.path().join("ossai-cache-1");
    let whole = fs::read(file(folder.path(), 1)).unwrap();
    for length in [0, 10, whole.len() - 1] {
        fs::write(root.join("completions.tmp"), &whole[..length]).unwrap();
        fs::write(root.join("completions.lock"), &whole[..length.min(15)]).unwrap();
        assert_eq!(text(&disk, 1, NOW).await.as_deref(), Some("old"));
    }
    disk.keep(&kept(1, "new"), for_ms(1_000), NOW).await;
    assert_eq!(text(&disk, 1, NOW).await.as_deref(), Some("new"));
    assert!(!root.join("completions.tmp").exists());
}

// proves: 3.disk-full
#[tokio::test]
async fn a_folder_that_was_taken_away_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let disk = disk(settings(&path));
    disk.keep(&kept(1, "one"), for_ms(1_000), NOW).await;
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(text(&disk, 1, NOW).await, None);
    disk.keep(&kept(1, "again"), for_ms(1_000), NOW).await;
    assert_eq!(text(&disk, 1, NOW).await.as_deref(), Some("again"));
    assert!(!disk.guard.stats().ailing);
}

// proves: 3.disk-full
#[tokio::test]
async fn a_folder_that_cannot_be_made_is_a_miss_and_writing_is_off() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), b"").unwrap();
    let disk = disk(settings(&folder.path().join("file/below")));
    assert!(find(&disk, &[key(1)], NOW).await.is_err());
    disk.keep(&kept(1, "one"), for_ms(1_000), NOW).await;
    let stats = disk.guard.stats();
    assert_eq!((stats.stores, stats.dropped, stats.ailing), (0, 1, true));
}

#[tokio::test]
async fn a_stale_answer_is_found_where_there_is_no_fresh_one_and_kept_until_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(settings(folder.path()));
    let times = Times {
        kept_until: NOW + 5_000,
        ..for_ms(1_000)
    };
    disk.keep(&kept(1, "stale"), times, NOW).await;
    disk.keep(&kept(2, "fresh"), for_ms(9_000), NOW).await;
    let found = find(&disk, &[key(1)], NOW + 2_000).await;
    assert_eq!(found.unwrap().unwrap().times, times);
    let found = find(&disk, &[key(1), key(2)], NOW + 2_000).await;
    assert_eq!(found.unwrap().unwrap().key, key(2));
    assert_eq!(text(&disk, 1, NOW + 5_000).await, None);
}
