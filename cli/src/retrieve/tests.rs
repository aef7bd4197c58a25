use std::cell::RefCell;
use std::fs;

use ossai::ErrorKind;
use ossai::provider::local;
use ossai::types::CompletionRequest;

use super::*;

fn tree(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    root
}

fn build(root: &Path) -> Index {
    Index::build(&[root], &|_, _| {}).unwrap()
}

/// Sources without the folder of the test.
fn sources(root: &tempfile::TempDir, passages: &[&Passage]) -> Vec<String> {
    let prefix = format!("{}/", root.path().display());
    passages
        .iter()
        .map(|passage| passage.source().replacen(&prefix, "", 1))
        .collect()
}

fn split(path: &str, text: &str) -> Vec<(u32, u32, String)> {
    let mut out = Vec::new();
    split::split(path, text, &mut out);
    out.into_iter().map(|p| (p.first, p.last, p.text)).collect()
}

#[test]
fn it_reads_what_git_would_and_says_what_it_skipped() {
    let large = vec![b'a'; walk::MAX_FILE as usize + 1];
    let root = tree(&[
        (".gitignore", b"target/\n*.log\n"),
        ("target/out.md", b"ignored"),
        ("a.log", b"ignored"),
        (".hidden.md", b"hidden"),
        ("b.md", b"\xef\xbb\xbfSeen."),
        ("sub/c.rs", b"// Seen."),
        ("d.bin", b"\0\x01binary"),
        ("e.txt", b"\xff\xfe not utf-8"),
        ("f.json", &large),
    ]);
    let index = build(root.path());
    assert_eq!(
        sources(&root, &index.passages().iter().collect::<Vec<_>>()),
        ["b.md:1-1", "sub/c.rs:1-1"]
    );
    assert_eq!(index.passages()[0].text, "Seen.");
    assert_eq!(
        (index.files(), index.skipped().binary, index.skipped().large),
        (2, 2, 1)
    );
    assert_eq!(
        index.skipped().to_string(),
        "skipped 2 binary, 1 over 2 MiB, 0 unreadable"
    );
}

#[test]
fn progress_goes_from_none_to_all() {
    let root = tree(&[("a.md", b"one"), ("b.md", b"two")]);
    let seen = RefCell::new(Vec::new());
    Index::build(&[root.path()], &|done, total| {
        seen.borrow_mut().push((done, total))
    })
    .unwrap();
    assert_eq!(seen.into_inner(), [(0, 2), (1, 2), (2, 2)]);
}

#[test]
fn a_wrong_path_is_named() {
    let root = tree(&[("empty/a.bin", b"\0")]);
    for (path, says) in [
        ("missing", "No such file"),
        ("empty", "expected text, found none (skipped 1 binary"),
    ] {
        let error = Index::build(&[root.path().join(path)], &|_, _| {})
            .err()
            .unwrap();
        assert_eq!(
            (error.kind(), error.fields().field.as_deref()),
            (ErrorKind::InvalidRequest, Some("over"))
        );
        assert!(
            error.to_string().contains(path) && error.to_string().contains(says),
            "{error}"
        );
    }
}

#[test]
fn a_single_file_is_read_even_if_ignored() {
    let root = tree(&[(".gitignore", b"*.md\n"), ("a.md", b"One file.")]);
    let index = build(&root.path().join("a.md"));
    let all: Vec<_> = index.passages().iter().collect();
    assert_eq!(sources(&root, &all), ["a.md:1-1"]);
}

#[test]
fn several_roots_are_one_index_and_what_they_share_is_read_once() {
    let root = tree(&[
        ("a/one.md", b"Caches keep."),
        ("a/b/two.md", b"Caches keep."),
        ("c.md", b"Caches keep."),
    ]);
    let roots = [
        root.path().join("a"),
        root.path().join("a/b"),
        root.path().join("c.md"),
    ];
    let index = Index::build(&roots, &|_, _| {}).unwrap();
    assert_eq!(index.files(), 3);
    assert_eq!(index.search("caches", 2).unwrap().len(), 2);
    let mut found = sources(&root, &index.search("caches", 9).unwrap());
    found.sort();
    assert_eq!(found, ["a/b/two.md:1-1", "a/one.md:1-1", "c.md:1-1"]);
}

#[test]
fn passages_are_whole_ranges_of_lines() {
    let body: String = (1..=200)
        .map(|n| {
            if n % 9 == 0 {
                "\n".into()
            } else {
                format!("line {n}\n")
            }
        })
        .collect();
    for path in ["a.rs", "a.md", "a"] {
        let passages = split(path, &body);
        assert!(passages.len() > 3);
        let lines: Vec<&str> = body.lines().collect();
        let mut before = 0;
        for (first, last, text) in &passages {
            assert!(*first > before && last - first < 40);
            assert_eq!(*text, lines[*first as usize - 1..*last as usize].join("\n"));
            before = *last;
        }
        let kept: usize = passages
            .iter()
            .flat_map(|(_, _, text)| text.lines())
            .filter(|line| !line.is_empty())
            .count();
        assert_eq!(kept, lines.iter().filter(|line| !line.is_empty()).count());
    }
}

#[test]
fn headings_begin_passages_and_fences_stay_whole() {
    let section =
        |title: &str| format!("# {title}\n\none\n\ntwo\n\n```\n# not a heading\n\ncode\n```\n\n");
    let passages = split("a.md", &(section("A") + &section("B")));
    assert_eq!(
        passages
            .iter()
            .map(|(first, last, _)| (*first, *last))
            .collect::<Vec<_>>(),
        [(1, 11), (13, 23)]
    );
}

#[test]
fn a_very_long_line_is_cut_and_keeps_its_number() {
    let passages = split("a.json", &format!("short\n{}\n", "字".repeat(3000)));
    assert!(passages.iter().all(|(_, _, text)| text.len() <= 2400));
    assert_eq!(
        passages
            .iter()
            .skip(1)
            .map(|(first, last, _)| (*first, *last))
            .collect::<Vec<_>>(),
        [(2, 2); 4]
    );
    assert_eq!(
        passages
            .iter()
            .map(|(_, _, text)| text.matches('字').count())
            .sum::<usize>(),
        3000
    );
}

#[test]
fn the_best_passage_comes_first_and_ties_come_by_path_and_line() {
    let root = tree(&[
        ("z.md", b"Caches keep answers."),
        ("a.md", b"Caches keep answers."),
        ("m.rs", b"/// Folds events.\npub struct StreamLog;"),
        ("p.md", b"Prices are integers, as caches of prices are not."),
    ]);
    let index = build(root.path());
    assert_eq!(
        sources(&root, &index.search("cached answers", 2).unwrap()),
        ["a.md:1-1", "z.md:1-1"]
    );
    assert_eq!(
        sources(&root, &index.search("Where is the stream log?", 5).unwrap()),
        ["m.rs:1-2"]
    );
    assert!(
        index
            .search("nothing matches zebras", 5)
            .unwrap()
            .is_empty()
    );
    assert!(index.search("?", 5).unwrap().is_empty());
    assert!(index.search("caches", 0).unwrap().is_empty());
}

#[test]
fn a_question_over_files_is_answered_with_the_right_citation() {
    let root = tree(&[
        (
            "docs/flights.md",
            b"# Flights\n\nNobody leads a flight, so nobody's cancellation fails the others.\n",
        ),
        (
            "docs/cache.md",
            b"# Cache\n\nOnly complete answers are stored.\n",
        ),
    ]);
    let index = build(root.path());
    let ask = |question: &str| {
        let passages = index.search(question, 8).unwrap();
        let request = CompletionRequest {
            messages: prompt(question, &passages),
            ..CompletionRequest::new(local::EXTRACT, "")
        };
        local::complete(&request, &|_| 1)
            .unwrap()
            .into_answer()
            .text
    };
    let answer = ask("Why does nobody lead a flight?");
    assert!(
        answer.starts_with("Nobody leads a flight, so nobody's cancellation fails the others. [1]"),
        "{answer}"
    );
    assert!(answer.ends_with("/docs/flights.md:1-3"), "{answer}");
    assert!(ask("Which answers are stored?").starts_with("Only complete answers are stored. [1]"));
    assert_eq!(
        ask("Which answers are stored?"),
        ask("Which answers are stored?")
    );
}
