/*
 * Included by force into every C source of the toolkit: notes in the object file (elf(5), SHT_NOTE)
 * that say where its machine code lies, so that a running program can tell it from its own however
 * the two were linked. gopool reads the notes where it decides whether a fault is the toolkit's.
 *
 * A note holds pairs of a start and an end, each as the distance from itself: of all code in one of
 * type 1, of the functions marked NETPOLL_DISPATCH in one of type 2. The end of a section is its
 * last subsection, which the assembler puts behind what the compiler has yet to write. The labels
 * have numbers because link-time optimisation assembles several sources as one.
 */
#if defined(__x86_64__) && defined(__ELF__)
/*
 * A function that calls what somebody else has written, and has nothing of its own half done while
 * it does: a fault in there may cut its frame off.
 */
#    define NETPOLL_DISPATCH __attribute__((section(".text.netpoll_dispatch"), noinline))
/* clang-format off */
__asm__(
    ".pushsection .text\n771:\n.popsection\n"
    ".pushsection .text, 8191\n772:\n.popsection\n"
    ".pushsection .text.unlikely, \"ax\", @progbits\n773:\n.popsection\n"
    ".pushsection .text.unlikely, 8191, \"ax\", @progbits\n774:\n.popsection\n"
    ".pushsection .text.unlikely., \"ax\", @progbits\n775:\n.popsection\n"
    ".pushsection .text.unlikely., 8191, \"ax\", @progbits\n776:\n.popsection\n"
    ".pushsection .text.hot, \"ax\", @progbits\n777:\n.popsection\n"
    ".pushsection .text.hot, 8191, \"ax\", @progbits\n778:\n.popsection\n"
    ".pushsection .text.startup, \"ax\", @progbits\n779:\n.popsection\n"
    ".pushsection .text.startup, 8191, \"ax\", @progbits\n780:\n.popsection\n"
    ".pushsection .text.exit, \"ax\", @progbits\n781:\n.popsection\n"
    ".pushsection .text.exit, 8191, \"ax\", @progbits\n782:\n.popsection\n"
    ".pushsection .text.netpoll_dispatch, \"ax\", @progbits\n783:\n.popsection\n"
    ".pushsection .text.netpoll_dispatch, 8191, \"ax\", @progbits\n784:\n.popsection\n"
    ".pushsection .note.netpoll, \"a\", @note\n"
    ".balign 4\n"
    ".long 8, 56, 1\n"
    ".asciz \"netpoll\"\n"
    ".long 771b - ., 772b - .\n"
    ".long 773b - ., 774b - .\n"
    ".long 775b - ., 776b - .\n"
    ".long 777b - ., 778b - .\n"
    ".long 779b - ., 780b - .\n"
    ".long 781b - ., 782b - .\n"
    ".long 783b - ., 784b - .\n"
    ".long 8, 8, 2\n"
    ".asciz \"netpoll\"\n"
    ".long 783b - ., 784b - .\n"
    ".popsection\n");
/* clang-format on */
#else
#    define NETPOLL_DISPATCH
#endif
