//! The page of errors, made from the snapshots of their messages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use crate::generated;
use crate::{read, root};

const DOCUMENT: &str = "docs/errors.md";
const SNAPSHOTS: &str = "src/messages/errors/snapshots";
/// Everything after it is made from the snapshots.
const MARK: &str = "<!-- made by tests/docs from the messages -->\n";
/// What comes before the id of a message.
const ID: &str = "\nError: ";
/// The paragraphs after which a message shows the agent's source.
const FOLLOWED_BY_SOURCE: [&str; 2] = [
    "The agent can't be fetched from",
    "This isn't an agent that can be installed:",
];

type Paragraphs = Vec<String>;

/// What the messages of one id say, as Markdown.
#[derive(Default)]
struct Entry {
    anchor: String,
    /// What can have happened, and what to do then, which may differ by the kind of source.
    events: Vec<(String, Vec<Paragraphs>)>,
    next_step: Option<&'static str>,
}

/// All messages that the snapshots contain.
fn messages() -> Vec<String> {
    let entries = fs::read_dir(root().join(SNAPSHOTS)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let contents = files.iter().map(|file| fs::read_to_string(file).unwrap());
    contents
        .flat_map(|snapshot| {
            let (_, content) = snapshot.split_once("\n---\n").unwrap();
            let messages = content.split("\n────────\n\n");
            let messages = messages.filter(|message| message.contains(ID));
            messages.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// The entries of the page, by id.
fn entries() -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::<String, Entry>::new();
    for message in messages() {
        let (message, end) = message.split_once(ID).unwrap();
        let (id, url) = end.trim_end().split_once('\n').unwrap();
        let (page, anchor) = url.split_once('#').unwrap();
        assert!(page.ends_with(DOCUMENT), "{page}");
        let (header, body) = message.split_once("\n\n").unwrap();
        let entry = entries.entry(id.to_owned()).or_default();
        anchor.clone_into(&mut entry.anchor);
        entry.add(header, body);
    }
    entries
}

impl Entry {
    fn add(&mut self, header: &str, body: &str) {
        let mut event = format!("**{header}.**");
        let mut advice = Vec::new();
        let paragraphs = body.split("\n\n").map(str::trim_end);
        let mut paragraphs = paragraphs.filter(|paragraph| !paragraph.starts_with("Details: "));
        while let Some(paragraph) = paragraphs.next() {
            if FOLLOWED_BY_SOURCE.contains(&paragraph) {
                paragraphs.next();
            } else if let Some(cause) = paragraph.strip_prefix("Reason: ") {
                event = format!("**{header}:** {}", prose(cause));
            } else if paragraph.starts_with("The problem may be temporary") {
                self.next_step = Some("It may be temporary, so try the build again first.");
            } else if paragraph.starts_with("This is unexpected") {
                self.next_step = Some("It is unexpected. Try again, and report it if it persists.");
            } else if is_prose(paragraph) {
                advice.push(prose(paragraph));
            } else {
                advice.push(format!("```text\n{paragraph}\n```"));
            }
        }
        match self.events.iter_mut().find(|(other, _)| *other == event) {
            None => self.events.push((event, vec![advice])),
            Some((_, known)) if known.contains(&advice) => {}
            Some((_, known)) => known.push(advice),
        }
    }

    fn markdown(&self, id: &str) -> String {
        let anchor = &self.anchor;
        let mut text = format!("\n<a name=\"{anchor}\"></a>\n\n## {id}\n");
        for (index, (event, advice)) in self.events.iter().enumerate() {
            write!(text, "\n{event}\n").unwrap();
            let next = self.events.get(index + 1);
            if next.is_some_and(|(_, of_next)| of_next == advice) {
                continue;
            }
            let common = common_start(advice);
            for paragraph in &advice[0][..common] {
                write!(text, "\n{paragraph}\n").unwrap();
            }
            for rest in advice.iter().map(|advice| &advice[common..]) {
                let rest = rest.join("\n\n");
                if advice.len() == 1 && !rest.is_empty() {
                    write!(text, "\n{rest}\n").unwrap();
                } else if advice.len() > 1 && !rest.is_empty() {
                    let item = rest.replace('\n', "\n  ").replace("\n  \n", "\n\n");
                    write!(text, "\n- {item}\n").unwrap();
                }
            }
        }
        if let Some(next_step) = self.next_step {
            write!(text, "\n{next_step}\n").unwrap();
        }
        text
    }
}

/// How many paragraphs all of them begin with.
fn common_start(texts: &[Paragraphs]) -> usize {
    let is_common = |index: &usize| {
        texts
            .iter()
            .all(|text| text.get(*index) == texts[0].get(*index))
    };
    (0..texts[0].len()).take_while(is_common).count()
}

/// Whether a paragraph is a sentence or a part of one, and not values or commands.
fn is_prose(paragraph: &str) -> bool {
    let mut start = paragraph.chars();
    let is_capital = start.next().is_some_and(char::is_uppercase);
    let is_word = is_capital && !start.next().is_some_and(char::is_uppercase);
    is_word || paragraph.ends_with(['.', ':']) || paragraph.starts_with("but ")
}

/// A paragraph as one line, or as a list if it is one, with values as code.
fn prose(paragraph: &str) -> String {
    let lines = paragraph.lines().map(|line| {
        let words: Vec<_> = line.trim_start().split(' ').map(word).collect();
        words.join(" ")
    });
    let join = |text: String, line: String| {
        let is_item = line.starts_with(|char: char| char.is_ascii_digit()) && line.contains(". ");
        format!("{text}{}{line}", if is_item { '\n' } else { ' ' })
    };
    let text = lines.reduce(join).unwrap();
    text.replace("'`", "`").replace("`'", "`")
}

/// A word, as code if it is a variable, a URL or a placeholder.
fn word(word: &str) -> String {
    let is_code = |text: &str| text.contains("://") || text.contains(['_', '=', '{', '*']);
    let start = word.len() - word.trim_start_matches(['(', '\'']).len();
    let end = word.trim_end_matches(['.', ',', ';', ':', ')', '\'']).len();
    if start >= end || !is_code(&word[start..end]) {
        return word.to_owned();
    }
    format!("{}`{}`{}", &word[..start], &word[start..end], &word[end..])
}

#[test]
fn page_of_errors_has_every_message() {
    let text = read(DOCUMENT);
    let (introduction, _) = text.split_once(MARK).expect("the document has the mark");
    let sections: Vec<_> = entries()
        .iter()
        .map(|(id, entry)| entry.markdown(id))
        .collect();
    let page = format!("{introduction}{MARK}{}", sections.concat());
    generated::assert_is(DOCUMENT, &page);
}
