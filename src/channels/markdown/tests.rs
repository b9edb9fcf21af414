use super::*;

fn pieces(markdown: &str, units: usize, cut: Cut) -> Vec<String> {
    parse(markdown, Tables::Code).chunks(units, cut).into_iter().map(|piece| piece.text).collect()
}

#[test]
fn cuts_are_at_lines_then_words_then_anywhere() {
    assert_eq!(pieces("", 5, Cut::Length), Vec::<String>::new());
    assert_eq!(pieces("one two\nthree four", 12, Cut::Length), ["one two", "three four"]);
    assert_eq!(pieces("one two three", 8, Cut::Length), ["one two", "three"]);
    assert_eq!(pieces("abcdefgh", 3, Cut::Length), ["abc", "def", "gh"]);
    // A character of two units is never cut, and counts as two.
    assert_eq!(pieces("😀😀😀", 3, Cut::Length), ["😀", "😀", "😀"]);
    assert_eq!(pieces("😀😀😀", 1, Cut::Length), ["😀", "😀", "😀"]);
}

#[test]
fn paragraphs_go_one_by_one_and_code_stays_together() {
    let markdown = "a\n\nb b\n\n```\nx\n\ny\n```\n\nc";
    assert_eq!(pieces(markdown, 100, Cut::Paragraphs), ["a", "b b", "x\n\ny\n", "c"]);
    assert_eq!(pieces(markdown, 100, Cut::Length), ["a\n\nb b\n\nx\n\ny\n\nc"]);
}

#[test]
fn nothing_but_white_space_is_lost_by_cutting() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let markdown =
        "Some *words* (with\nbrackets) go on.\n\n- a list\n- of `things`\n\n```\ncode  with   space\n```\n".repeat(5);
    let styled = parse(&markdown, Tables::Code);
    for units in [20, 33, 64, 250] {
        for cut in [Cut::Length, Cut::Paragraphs] {
            let joined: Vec<String> = styled.chunks(units, cut).iter().flat_map(|piece| words(&piece.text)).collect();
            assert_eq!(joined, words(&styled.text), "{units} {cut:?}");
        }
    }
}
