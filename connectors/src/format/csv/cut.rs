//! Where to cut a block of a file, so that what stands before and behind is decoded by itself.

use memchr::{memchr_iter, memrchr2, memrchr3};

/// Where the last row of `block` ends that ends in it, if `block` begins with a row.
///
/// It is a guess: a quote within a cell that does not begin with one looks like the beginning of
/// a quoted cell here. To know, one would have to read each cell; whoever decodes what stands
/// before the cut does that, and sees whether a row ends there.
///
/// `None`: there is no line end in the block.
pub fn last_row_end(block: &[u8]) -> Option<usize> {
    let mut quoted = memchr_iter(b'"', block).count() % 2 == 1;
    let mut end = block.len();
    while let Some(at) = block
        .get(..end)
        .and_then(|rest| memrchr3(b'"', b'\n', b'\r', rest))
    {
        if block.get(at) == Some(&b'"') {
            quoted = !quoted;
        } else if !quoted {
            return Some(at + 1);
        }
        end = at;
    }
    memrchr2(b'\n', b'\r', block).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_is_behind_the_last_line_end_out_of_quotes() {
        let check = |before: &str, behind: &str| {
            let block = [before, behind].concat();
            assert_eq!(
                last_row_end(block.as_bytes()),
                (!before.is_empty()).then_some(before.len()),
                "{block:?}"
            );
        };
        check("", "");
        check("", "a,b");
        check("a\n", "");
        check("a\nb\r\n", "c");
        check("a\rb\r", "c");
        check("a\n", "\"b\nc");
        check("a\n", "\"b\nc\",");
        check("a,\"b\nc\"\n", "d");
        check("a,\"b\"\"\nc\"\n", "\"\"\"d\n\n");
        check("a,5\" wide\nb,6\" wide\n", "c");
    }

    #[test]
    fn a_cut_in_quotes_is_better_than_none() {
        assert_eq!(last_row_end(b"\"a\nb\nc"), Some(5));
        assert_eq!(last_row_end(b"5\" wide\nb\nc"), Some(10));
    }
}
