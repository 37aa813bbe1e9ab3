/* model: mailbox and counters of a buffer, count of a block
 * run: spin -a, gcc -O2 -DSAFETY, ./pan -m100000
 * pan: -m100000
 * mutants: SLOT SLOTTAKE FIRST MORE FULL PUBLISH REPUBLISH TAKE TAKESTORE COMPARE FLUSHLATE FLUSHED CONSUMED UNREAD ONELOOK RETRACT ALONE DECREMENT LASTACQUIRE LOADSTORE TWICE UNCOUNTED COUNTLATE REUSE GATHER
 */

/*
 * linkbuffer/src: linkbuffer.h (the slot and the mailbox), linkbuffer_flush(), lb_reader_pull(),
 * linkbuffer_unread(), and the count of block.c. Memory is not sequentially consistent here: every
 * atomic object keeps all values it ever had, a load may give an older one, and a thread knows only
 * what acquire has taken from release. Plain memory is checked for races: who reads or writes it
 * must know of whatever it conflicts with.
 *
 * init chooses a world; ONLY=n keeps the world n. A mutant takes one rule away:
 *   SLOT        a chain is stored in the slot with release
 *   SLOTTAKE    the slot is loaded with acquire
 *   FIRST       the reader looks at the mailbox before it looks at the slot
 *   MORE        the reader looks at the mailbox with acquire
 *   FULL        the writer fills the slot only when the mailbox is empty
 *   PUBLISH     the first chain of the mailbox is stored with release
 *   REPUBLISH   a further chain is put on top with release
 *   TAKE        the reader takes the chains with acquire
 *   TAKESTORE   the reader takes the chains by an exchange, not by a load and a store
 *   COMPARE     the writer looks again whether the chain below has been taken
 *   FLUSHLATE   flushed is stored before the chain is published
 *   FLUSHED     flushed is stored with release
 *   CONSUMED    consumed is stored with release
 *   UNREAD      linkbuffer_unread() loads consumed with acquire
 *   ONELOOK     linkbuffer_unread() looks at consumed again
 *   RETRACT     a chain that turned out to be alone in the mailbox is linked to no older one
 *   ALONE       the count is loaded with acquire by whoever wants to be alone
 *   DECREMENT   the count is dropped with release
 *   LASTACQUIRE the last count is dropped with acquire
 *   LOADSTORE   the count is dropped by one read-modify-write
 *   TWICE       what the decrement returned tells the last holder, not a second look
 *   UNCOUNTED   a slice holds a count of its own
 *   COUNTLATE   that count is added before the slice is given away
 *   REUSE       the receiver fills a block anew only when nobody else holds it
 *   GATHER      the reader writes behind its window only when nobody else holds the block
 */

/* The atomic objects. NEWS and ECHO are not the buffer's: other words by which threads hear of one
   another, such as a connection's state. */
#define FLUSHED 0
#define CONSUMED 1
#define NEWS 2
#define ECHO 3
#define SLOT 4          /* value: the chain in it */
#define MAILBOX 5       /* value: the newest chain */
#define COUNT 4         /* in the other world, the last one */
#define OBJECTS 6

/* The threads. */
#define WRITER 0        /* or the receiver that owns a block */
#define READER 1
#define OTHER 2         /* asks for the figure, or holds a slice */

#define CHAINS_MAX 3

/* What a thread knows, a bit each: plain accesses that happened before (bits 0 to 7), and stores,
   the initial values aside. */
int knows[3];
/* Of all objects, 4 values of the first four, 7 of the slot and the mailbox, all others of the count:
   what was stored, and what whoever reads it with acquire learns. */
byte values[30];
int told[30];
byte newest[OBJECTS];   /* the last store to each */
bool may_lag;           /* loads may give old values */

#define STORE(object, i) (object == MAILBOX -> 23 : 4 * object) + i
#define KNOWN(object, i) (1 << ((object == MAILBOX -> 25 : 7 + 3 * object) + i))
#define NEWEST(object) values[STORE(object, newest[object])]

#include "mutant.inc"

#define WORLD(n) (ONLY == 0 || ONLY == n)
#define WHEN(condition, steps) if :: condition -> steps :: else fi


#ifndef ONLY
#define ONLY 0
#endif

#define LATEST_KNOWN(me, object) \
    values[4 * object + (knows[me] & KNOWN(object, 3) -> 3 : \
                        (knows[me] & KNOWN(object, 2) -> 2 : \
                        (knows[me] & KNOWN(object, 1) -> 1 : 0)))]

/* The store n of the object has been waited for by other means than looking at it. */
#define HEAR(me, object, n) knows[me] = knows[me] | told[STORE(object, n)]

/* The operations below are parts of atomic steps. i is free before and after. */
inline load(me, object, acquire, result) {
    i = newest[object];
    do
    :: may_lag && i > 0 && !(knows[me] & KNOWN(object, i)) -> i--
    :: break
    od;
    WHEN(i > 0, knows[me] = knows[me] | KNOWN(object, i));
    result = values[STORE(object, i)];
    WHEN(acquire, HEAR(me, object, i));
    i = 0
}

inline put(me, object, release, new) {
    newest[object]++;
    i = newest[object];
    knows[me] = knows[me] | KNOWN(object, i);
    values[STORE(object, i)] = new;
    told[STORE(object, i)] = (release -> knows[me] : KNOWN(object, i));
    i = 0
}

/* Reads the newest value and follows it: what a release before it told is still told. */
inline exchange(me, object, acquire, release, new) {
    i = newest[object];
    WHEN(acquire, HEAR(me, object, i));
    told[STORE(object, i) + 1] = told[STORE(object, i)];
    newest[object]++;
    i++;
    knows[me] = knows[me] | KNOWN(object, i);
    values[STORE(object, i)] = new;
    told[STORE(object, i)] = told[STORE(object, i)] | (release -> knows[me] : KNOWN(object, i));
    i = 0
}

/* Worlds 2 to 4: one buffer. Chains are numbered from 1, each is one byte long. */

byte older[CHAINS_MAX + 1];     /* the chain that the last node of this one is linked to */
byte chains;                /* to be flushed */
byte flushed, pulled, consumed;
byte knew_consumed[CHAINS_MAX + 1], knew_flushed[CHAINS_MAX + 1]; /* who stored the figure n knew of this */
bool is_asking;
int truths;                 /* differences that were true while it was asked */

#define CHAIN(n) (1 << (n))
#define NOTE_TRUTH \
    WHEN(is_asking && NEWEST(FLUSHED) >= NEWEST(CONSUMED), \
         truths = truths | (1 << (NEWEST(FLUSHED) - NEWEST(CONSUMED))))

inline store_flushed() {
    atomic {
        put(WRITER, FLUSHED, !MUTANT(FLUSHED), flushed);
        knew_consumed[flushed] = LATEST_KNOWN(WRITER, CONSUMED);
        NOTE_TRUTH
    }
}

inline publish() {
    atomic { load(WRITER, MAILBOX, false, seen); older[flushed] = seen };
    if
    :: seen == 0 || MUTANT(FULL) ->
        atomic {
            load(WRITER, SLOT, false, seen);
            if
            :: seen == 0 ->
                older[flushed] = 0;
                put(WRITER, SLOT, !MUTANT(SLOT), flushed);
                goto published
            :: else
            fi;
            seen = older[flushed]
        }
    :: seen == 0 -> skip /* with files: it never goes into the slot */
    :: else
    fi;
    atomic {
        if
        :: seen != 0 && (NEWEST(MAILBOX) == seen || MUTANT(COMPARE)) ->
            exchange(WRITER, MAILBOX, false, !MUTANT(REPUBLISH), flushed);
            goto published
        :: else
        fi
    };
    atomic {
        WHEN(!MUTANT(RETRACT), older[flushed] = 0);
        put(WRITER, MAILBOX, !MUTANT(PUBLISH), flushed)
    };
published:
    seen = 0
}

proctype writer()
{
    byte i, seen;

    do
    :: flushed < chains ->
        if
        :: atomic { load(WRITER, ECHO, true, seen); seen = 0 }
        :: true
        fi;
        atomic { flushed++; knows[WRITER] = knows[WRITER] | CHAIN(flushed) };
        WHEN(!MUTANT(FLUSHLATE), store_flushed());
        publish();
        WHEN(MUTANT(FLUSHLATE), store_flushed());
        atomic { put(WRITER, NEWS, true, flushed) }
    :: else -> break
    od
}

/* Takes chain, the newest, and those it is linked to: all that have not been taken yet. */
inline take_chains() {
    seen = chain;
    do
    :: chain != 0 ->
        assert(knows[READER] & CHAIN(chain)); /* its bytes and its link */
        assert(chain > pulled);
        assert(older[chain] == (chain > pulled + 1 -> chain - 1 : 0));
        chain = older[chain]
    :: else -> break
    od;
    pulled = seen;
    seen = 0
}

inline take_slot() {
    atomic {
        load(READER, SLOT, !MUTANT(SLOTTAKE), chain);
        if
        :: chain != 0 ->
            assert(knows[READER] & CHAIN(chain)); /* its bytes and its link */
            assert(chain == pulled + 1 && older[chain] == 0);
            pulled = chain;
            chain = 0;
            put(READER, SLOT, false, 0)
        :: else
        fi
    }
}

inline pull() {
    WHEN(MUTANT(FIRST), take_slot());
    atomic { load(READER, MAILBOX, !MUTANT(MORE), more) };
    WHEN(!MUTANT(FIRST), take_slot());
    if
    :: more != 0 ->
        more = 0;
        atomic {
            chain = NEWEST(MAILBOX);
            assert(chain != 0);
            WHEN(MUTANT(TAKESTORE),
                 load(READER, MAILBOX, true, chain));
            WHEN(!MUTANT(TAKESTORE),
                 exchange(READER, MAILBOX, !MUTANT(TAKE), false, 0))
        };
        atomic {
            WHEN(MUTANT(TAKESTORE), put(READER, MAILBOX, false, 0));
            take_chains()
        }
    :: else
    fi
}

/* The reader; the last round is linkbuffer_destroy(), after the writer has said that it is done. */
proctype reader()
{
    byte i, seen, chain, more, heard, round;

    do
    :: round < 3 ->
        round++;
        if
        :: round < 3 -> atomic { load(READER, NEWS, true, heard) }
        :: round == 3 -> atomic { NEWEST(NEWS) == chains; HEAR(READER, NEWS, chains); heard = chains }
        fi;
        pull();
        atomic { assert(pulled >= heard); heard = 0 };
        if
        :: atomic { consumed < pulled ->
                if :: consumed = pulled :: consumed++ fi;
                put(READER, CONSUMED, !MUTANT(CONSUMED), consumed);
                knew_flushed[consumed] = LATEST_KNOWN(READER, FLUSHED);
                NOTE_TRUTH
            };
            atomic { put(READER, ECHO, true, consumed) }
        :: true
        fi
    :: else -> break
    od;
    assert(pulled == chains)
}

/* linkbuffer_unread() on a thread that has heard of either side, or of none. */
proctype asker()
{
    byte i, seen, c, f, heard;

    if
    :: atomic { load(OTHER, NEWS, true, heard) }
    :: atomic { load(OTHER, ECHO, true, seen); seen = 0 }
    fi;
    atomic { is_asking = true; NOTE_TRUTH };
    atomic { load(OTHER, CONSUMED, !MUTANT(UNREAD), c) };
    do
    :: true ->
        seen = c;
        atomic { load(OTHER, FLUSHED, true, f) };
        atomic { load(OTHER, CONSUMED, !MUTANT(UNREAD), c) };
        WHEN(c == seen || MUTANT(ONELOOK), break)
    od;
    atomic {
        is_asking = false;
        assert(f >= c && f >= heard);
        /* A moment at which both figures held: neither side had heard of more of the other. */
        assert(knew_consumed[f] <= c && knew_flushed[c] <= f);
        assert(may_lag || (truths & (1 << (f - c))));
        truths = 0
    }
}

/* World 1: one block. A receiver fills it and gives the reader a window; the reader may give a
   slice to a third thread; the receiver fills the block anew when it is alone. */

byte accesses;          /* plain accesses so far, a bit each */
byte fill;              /* the block was filled so often, less one */
byte given;             /* windows that the reader has got */
bool freed;
byte given_back;        /* calls of the release callback */
bool sliced, no_more_slices, no_more_windows;

#define FILLED 8         /* bit 3 of each fill: the filling; bits 0 to 2: who has read */
#define ACCESS(bit, filling) ((bit) << (4 * (filling)))

inline read_block(who, filling) {
    atomic {
        assert(!freed && fill == filling);
        assert(knows[who] & ACCESS(FILLED, filling));
        accesses = accesses | ACCESS(1 << who, filling);
        knows[who] = knows[who] | ACCESS(1 << who, filling)
    }
}

/* The caller writes or frees the memory: whatever has been done with it must be known. */
#define CLAIM_BLOCK(who) assert(!freed && (accesses & ~knows[who]) == 0)

inline retain(who) {
    atomic {
        assert(!freed);
        count = NEWEST(COUNT);
        exchange(who, COUNT, false, false, count + 1);
        count = 0
    }
}

inline free_block(who) {
    atomic {
        CLAIM_BLOCK(who);
        given_back++;
        freed = true
    }
}

/* linkbuffer_block_release() */
inline drop(who) {
    atomic { assert(!freed); load(who, COUNT, !MUTANT(ALONE), count) };
    if
    :: count == 1 -> free_block(who)
    :: else ->
        atomic {
            assert(!freed);
            WHEN(MUTANT(LOADSTORE), load(who, COUNT, true, count));
            WHEN(!MUTANT(LOADSTORE),
                 count = NEWEST(COUNT);
                 exchange(who, COUNT, !MUTANT(LASTACQUIRE), !MUTANT(DECREMENT), count - 1))
        };
        WHEN(MUTANT(LOADSTORE), atomic { put(who, COUNT, true, count - 1) });
        WHEN(MUTANT(TWICE), atomic { load(who, COUNT, true, count); count++ });
        WHEN(count == 1, free_block(who))
    fi;
    count = 0
}

proctype receiver()
{
    byte i, count, looks;

    retain(WRITER);
    atomic { given = 1; put(WRITER, NEWS, true, 1) };
    do
    :: looks < 2 && fill == 0 ->
        looks++;
        atomic { load(WRITER, COUNT, !MUTANT(ALONE), count) };
        WHEN(count == 1 || MUTANT(REUSE),
             atomic {
                 CLAIM_BLOCK(WRITER);
                 fill = 1;
                 accesses = accesses | ACCESS(FILLED, 1);
                 knows[WRITER] = knows[WRITER] | ACCESS(FILLED, 1)
             };
             retain(WRITER);
             atomic { given = 2; put(WRITER, NEWS, true, 2) });
        count = 0
    :: true -> break
    od;
    no_more_windows = true;
    drop(WRITER)
}

inline slice() {
    WHEN(!MUTANT(UNCOUNTED) && !MUTANT(COUNTLATE), retain(READER));
    atomic { sliced = true; put(READER, ECHO, true, window + 1) };
    WHEN(MUTANT(COUNTLATE), retain(READER))
}

proctype window_reader()
{
    byte i, count, window;

    do
    :: window < given ->
        atomic { HEAR(READER, NEWS, window + 1) };
        read_block(READER, window);
        if
        :: !sliced -> slice()
        :: true
        fi;
        if /* lb_node_room(): pulling up in place */
        :: atomic { load(READER, COUNT, !MUTANT(ALONE), count) };
            WHEN(count == 1 || MUTANT(GATHER), atomic { CLAIM_BLOCK(READER) });
            count = 0
        :: true
        fi;
        drop(READER);
        window++
    :: window == given && no_more_windows -> break
    od;
    no_more_slices = true
}

/* Reads a slice; may make two of it, as a slice of the slice does. */
proctype slice_reader()
{
    byte i, count, filling;

    sliced || no_more_slices;
    if
    :: sliced ->
        atomic { HEAR(OTHER, ECHO, 1); filling = values[STORE(ECHO, 1)] - 1 };
        read_block(OTHER, filling);
        if
        :: retain(OTHER); drop(OTHER); read_block(OTHER, filling)
        :: true
        fi;
        drop(OTHER)
    :: else
    fi
}

init {
    atomic {
        PLANT;
        if
        :: WORLD(1) -> /* a block */
            may_lag = true; values[STORE(COUNT, 0)] = 1; accesses = ACCESS(FILLED, 0);
            knows[WRITER] = accesses;
            run receiver(); run window_reader(); run slice_reader()
        :: WORLD(2) -> /* a buffer; loads give the newest value: a figure was true in the call */
            chains = 2; run writer(); run reader(); run asker()
        :: WORLD(3) -> /* a buffer */
            may_lag = true; chains = 2; run writer(); run reader(); run asker()
        :: WORLD(4) -> /* up to three chains in the mailbox */
            may_lag = true; chains = 3; run writer(); run reader()
        fi
    };
    _nr_pr == 1;
    assert(given_back == (chains == 0))
}
