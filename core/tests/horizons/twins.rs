//! Machines that are two, of which one goes on beyond a horizon.

use crate::{number, three};

#[test]
fn what_a_machine_wrote_as_another_that_is_now_beyond_a_horizon_counts() {
    let counts = [(1, 1), (2, 2), (4, 2), (2, 4), (1, 3), (3, 1)];
    for ((theirs, ours), more) in counts.into_iter().flat_map(|counts| [0, 1].map(|more| (counts, more))) {
        let mut world = three();
        let twin = world.twin(2);
        // Who has all that is forgotten needs no ground.
        (0..more).for_each(|_| _ = world.add_one(1));
        world.settle();
        world.compact_all();
        world.settle();
        let [their, our] = [(2, theirs), (twin, ours)].map(|(peer, count)| {
            let mut made = (0..count).map(|_| world.add_one(peer));
            (made.next(), made.count())
        });
        assert_eq!(their.0, our.0, "two with one number");
        world.settle();
        world.join(twin, 1);
        world.settle();
        world.refused.clear();
        world.check_equal();
        assert_eq!(world.value(twin), number(4.0 + f64::from(more + theirs + ours)));
        assert_eq!(world.forked.first().copied(), our.0, "{theirs} and {ours}, {more} more");
    }
}
