/*
 * gopool.hpp: callables as tasks, exceptions as panics, and every object destroyed exactly once. A
 * plain program, so that it runs under every sanitizer; compiled with exceptions and without.
 */
#include <gopool/gopool.hpp>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <utility>

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                        \
        }                                                                        \
    } while (0)

namespace
{

/* Objects alive, and calls of them. */
std::atomic<int> alive;
std::atomic<int> calls;

/* An object whose life is counted. */
struct counted {
    counted()
    {
        alive++;
    }
    counted(const counted &)
    {
        alive++;
    }
    counted(counted &&) noexcept
    {
        alive++;
    }
    counted &operator=(const counted &) = delete;
    ~counted()
    {
        alive--;
    }
};

/* What the panic handler was told last. */
struct told {
    int count;
    int alive; /* then */
    std::string message;
};

void keep(const struct gopool_panic *panic, void *arg)
{
    told *last = static_cast<told *>(arg);

    last->count++;
    last->alive = alive;
    last->message = panic->message;
}

/* A pool of one worker, and what its panic handler was told. */
class bench
{
  public:
    bench() : last(), pool_(nullptr)
    {
        struct gopool_options options = {};

        alive = 0;
        calls = 0;
        options.cap = 1;
        options.panic_handler = keep;
        options.panic_handler_arg = &last;
        CHECK(gopool_create(&options, &pool_) == 0);
    }
    bench(const bench &) = delete;
    bench &operator=(const bench &) = delete;
    ~bench()
    {
        gopool_destroy(pool_);
    }

    struct gopool *pool() const
    {
        return pool_;
    }

    /* Waits for the tasks. Returns the panics. */
    int drain() const
    {
        struct gopool_stats stats;

        CHECK(gopool_drain(pool_, 60000) == 0);
        gopool_stats_read(pool_, &stats);
        return static_cast<int>(stats.panic_count);
    }

    told last;

  private:
    struct gopool *pool_;
};

/* Says whether it was called on its own copy. */
struct call_with {
    counted life;

    void operator()() const
    {
        CHECK(alive > 0);
        calls++;
    }
};

void test_a_copy_is_called_and_destroyed()
{
    bench test;
    call_with fn;

    CHECK(netpoll::go(test.pool(), fn) == 0);
    CHECK(netpoll::go(test.pool(), call_with()) == 0);
    CHECK(test.drain() == 0);
    CHECK(calls == 2);
    CHECK(alive == 1);
}

struct move_only {
    std::unique_ptr<int> number;
    int *out;

    int operator()()
    {
        *out = *number;
        return *out;
    }
};

void test_a_callable_that_can_only_be_moved()
{
    bench test;
    int out = 0;
    move_only fn = {std::unique_ptr<int>(new int(7)), &out};

    CHECK(netpoll::go(test.pool(), std::move(fn)) == 0);
    CHECK(test.drain() == 0);
    CHECK(out == 7);
}

void count_call()
{
    calls++;
}

void test_a_function_is_a_callable()
{
    bench test;

    CHECK(netpoll::go(test.pool(), count_call) == 0);
    CHECK(netpoll::go(test.pool(), &count_call) == 0);
    CHECK(netpoll::attempt(count_call) == 0);
    CHECK(test.drain() == 0);
    CHECK(calls == 3);
}

void test_a_refused_callable_is_destroyed_and_not_called()
{
    bench test;
    call_with fn;

    CHECK(gopool_stop(test.pool()) == 0);
    CHECK(netpoll::go(test.pool(), fn) == -ESHUTDOWN);
    CHECK(calls == 0);
    CHECK(alive == 1);
}

/* There is no memory for it. */
struct too_large {
    void operator()() const
    {
        calls++;
    }
    static void *operator new(std::size_t, const std::nothrow_t &) noexcept
    {
        return nullptr;
    }
    static void operator delete(void *)
    {
    }
};

void test_without_memory_the_callable_is_refused()
{
    bench test;

    CHECK(netpoll::go(test.pool(), too_large()) == -ENOMEM);
    CHECK(test.drain() == 0);
    CHECK(calls == 0);
}

void test_a_panic_of_c_code_destroys_the_callable()
{
    bench test;
    call_with fn;

    /* Named, so that the submitter's own does not end while the task runs. */
    auto task = [fn] {
        fn();
        gopool_panic("from C");
    };
    CHECK(netpoll::go(test.pool(), task) == 0);
    CHECK(test.drain() == 1);
    CHECK(test.last.message == "from C");
    CHECK(test.last.alive == 2);
    CHECK(alive == 2);
}

void test_the_end_of_the_task_destroys_the_callable()
{
    bench test;
    call_with fn;

    CHECK(netpoll::go(test.pool(), [fn] {
              fn();
              gopool_exit_task();
          }) == 0);
    CHECK(test.drain() == 0);
    CHECK(calls == 1);
    CHECK(alive == 1);
}

void count_deferred(void *)
{
    calls += 100;
}

void test_what_the_callable_leaves_deferred_is_dropped()
{
    bench test;
    struct gopool_defer forgotten;

    CHECK(netpoll::go(test.pool(), [&forgotten] {
              gopool_defer_push(&forgotten, count_deferred, nullptr);
          }) == 0);
    CHECK(test.drain() == 0);
    CHECK(calls == 0);
}

void test_attempt_contains_a_panic()
{
    struct gopool_panic panic;
    int number = 0;
    auto fn = [&number] { number++; };

    CHECK(netpoll::attempt(fn) == 0);
    CHECK(netpoll::attempt(fn, &panic) == 0);
    CHECK(number == 2);
    CHECK(netpoll::attempt([] { gopool_panic("no"); }) == -ECANCELED);
    CHECK(netpoll::attempt([] { gopool_panic("number %d", 3); }, &panic) == -ECANCELED);
    CHECK(std::strcmp(panic.message, "number 3") == 0);
}

#ifdef __EXCEPTIONS
void throw_through_a_frame(const char *what)
{
    counted local;

    throw std::runtime_error(what);
}

void test_an_exception_becomes_a_panic()
{
    bench test;
    call_with fn;

    auto task = [fn] { throw_through_a_frame("as thrown"); };
    CHECK(netpoll::go(test.pool(), task) == 0);
    CHECK(test.drain() == 1);
    CHECK(test.last.count == 1);
    CHECK(test.last.message == "as thrown");
    /* The pool's callable was destroyed by then, and so was the frame's object. */
    CHECK(test.last.alive == 2);
    CHECK(netpoll::go(test.pool(), [] { throw 3; }) == 0);
    CHECK(test.drain() == 2);
    CHECK(test.last.message.find("exception") != std::string::npos);
    CHECK(netpoll::go(test.pool(), [] { throw std::runtime_error(std::string(1000, 'x')); }) == 0);
    CHECK(test.drain() == 3);
    CHECK(test.last.message == std::string(GOPOOL_PANIC_MESSAGE_BYTES - 1, 'x'));
    CHECK(alive == 2);
}

void test_attempt_contains_an_exception()
{
    struct gopool_panic panic;

    alive = 0;
    CHECK(netpoll::attempt([] { throw_through_a_frame("caught"); }, &panic) == -ECANCELED);
    CHECK(std::strcmp(panic.message, "caught") == 0);
    CHECK(std::strcmp(panic.function, "netpoll::attempt") == 0);
    CHECK(alive == 0);
    CHECK(netpoll::attempt([] { throw 3; }) == -ECANCELED);
}

void test_the_end_of_the_thread_destroys_everything()
{
    bench test;
    call_with fn;

    CHECK(netpoll::go(test.pool(), [fn] {
              counted local;
              CHECK(netpoll::attempt([] { pthread_exit(nullptr); }) == 0);
          }) == 0);
    CHECK(netpoll::go(test.pool(), fn) == 0);
    CHECK(test.drain() == 0);
    CHECK(calls == 1);
    CHECK(alive == 1);
}

/* Copying it fails. */
template <class Exception> struct no_copy {
    counted life;

    no_copy() : life()
    {
    }
    no_copy(const no_copy &other) : life(other.life)
    {
        throw Exception();
    }
    void operator()() const
    {
        calls++;
    }
};

struct other_error {
};

void test_an_exception_while_copying_is_the_callers()
{
    bench test;
    no_copy<std::bad_alloc> no_memory;
    no_copy<other_error> other;
    bool caught = false;

    CHECK(netpoll::go(test.pool(), no_memory) == -ENOMEM);
    try {
        CHECK(netpoll::go(test.pool(), other) != 0);
    } catch (const other_error &) {
        caught = true;
    }
    CHECK(caught);
    CHECK(test.drain() == 0);
    CHECK(calls == 0);
    CHECK(alive == 2);
}
#endif

} // namespace

int main()
{
    test_a_copy_is_called_and_destroyed();
    test_a_callable_that_can_only_be_moved();
    test_a_function_is_a_callable();
    test_a_refused_callable_is_destroyed_and_not_called();
    test_without_memory_the_callable_is_refused();
    test_a_panic_of_c_code_destroys_the_callable();
    test_the_end_of_the_task_destroys_the_callable();
    test_what_the_callable_leaves_deferred_is_dropped();
    test_attempt_contains_a_panic();
#ifdef __EXCEPTIONS
    test_an_exception_becomes_a_panic();
    test_attempt_contains_an_exception();
    test_the_end_of_the_thread_destroys_everything();
    test_an_exception_while_copying_is_the_callers();
#endif
    return 0;
}
