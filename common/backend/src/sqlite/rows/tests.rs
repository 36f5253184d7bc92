#![allow(clippy::arithmetic_side_effects, reason = "tests")]

use super::*;

#[test]
fn a_few_dozen_rows_are_one_statement_and_none_has_too_many_parameters() {
    for columns in [2, 4, 5] {
        for rows in 1..3_000 {
            let mut left = rows;
            let mut statements = 0;
            while left > 0 {
                let size = at_once(left, columns);
                assert!((1..=left).contains(&size) && size.saturating_mul(columns) <= MAX_PARAMETERS);
                left = left.saturating_sub(size);
                statements += 1;
            }
            assert!(statements == 1 || rows > EXACT, "{rows} rows: {statements}");
            assert!(
                statements <= 4 + rows / (MAX_PARAMETERS / columns / 2),
                "{rows} rows: {statements}"
            );
        }
    }
}
