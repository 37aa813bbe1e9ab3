/**
 * gopool for C++11: any callable is a task, and an exception that leaves it is a panic.
 *
 * In C++ throw, and leave gopool_panic() and gopool_exit_task() to C: they jump over the frames
 * between them and the task, whose objects are then not destroyed. A frame that has called
 * gopool_defer_push() must not be left by an exception.
 *
 * Compiled with -fno-exceptions it works too, but pthread_exit(3) leaks the callable, as it does
 * with libc++.
 */
#ifndef GOPOOL_GOPOOL_HPP
#define GOPOOL_GOPOOL_HPP

#include <gopool/gopool.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#ifdef __EXCEPTIONS
#    include <cxxabi.h>
#endif

namespace netpoll
{
namespace detail
{

/* What is left of an exception when it has been destroyed. */
struct gopool_thrown {
    bool is_set;
    char text[GOPOOL_PANIC_MESSAGE_BYTES];

    void set(const char *what)
    {
        is_set = true;
        std::strncpy(text, what, sizeof text - 1);
        text[sizeof text - 1] = '\0';
    }

    /* The caller has nothing left to destroy. */
    void raise_if_set(int line, const char *function) const
    {
        if (is_set)
            gopool_panic_at(__FILE__, line, function, "%s", text);
    }
};

/* Calls fn(). Nothing is thrown out of it but what pthread_exit(3) unwinds with. */
template <class F> void gopool_call_and_catch(F &fn, gopool_thrown &thrown)
{
    thrown.is_set = false;
#ifdef __EXCEPTIONS
    try {
        static_cast<void>(fn());
    } catch (const std::exception &exception) {
        thrown.set(exception.what());
    } catch (...) {
        /* What pthread_exit(3) unwinds with has no type. */
        if (abi::__cxa_current_exception_type() == nullptr)
            throw;
        thrown.set("an exception that is no std::exception");
    }
#else
    static_cast<void>(fn());
#endif
}

/* A callable of the type F on the heap, as a task. */
template <class F> struct gopool_callable {
    template <class Source> static F *make(Source &&source)
    {
#ifdef __EXCEPTIONS
        try {
            return new (std::nothrow) F(std::forward<Source>(source));
        } catch (const std::bad_alloc &) {
            return nullptr;
        }
#else
        return new (std::nothrow) F(std::forward<Source>(source));
#endif
    }

    /* Through the owner's pointer, so that whoever comes second finds nothing to destroy. */
    static void destroy(void *owner)
    {
        F **fn = static_cast<F **>(owner);
        F *last = *fn;

        *fn = nullptr;
        delete last;
    }

    static void run(void *arg)
    {
        F *fn = static_cast<F *>(arg);
        gopool_thrown thrown;
        gopool_defer on_panic;

        /* Of C code that fn calls. It is dropped with the task. */
        gopool_defer_push(&on_panic, destroy, &fn);
#ifdef __EXCEPTIONS
        try {
            gopool_call_and_catch(*fn, thrown);
        } catch (...) {
            destroy(&fn);
            throw;
        }
#else
        gopool_call_and_catch(*fn, thrown);
#endif
        destroy(&fn);
        thrown.raise_if_set(__LINE__, "netpoll::go");
    }
};

/* A callable of somebody else's. */
template <class F> struct gopool_borrowed {
    F *fn;

    static void run(void *arg)
    {
        gopool_thrown thrown;

        gopool_call_and_catch(*static_cast<gopool_borrowed *>(arg)->fn, thrown);
        thrown.raise_if_set(__LINE__, "netpoll::attempt");
    }
};

} // namespace detail

/**
 * Calls a copy of fn on a worker, without arguments; what it returns is dropped.
 *
 * An exception that leaves it becomes a panic with what() as its message. The copy is destroyed
 * once, whatever happens: on the worker before that panic is raised, or here when the task is
 * refused.
 *
 * @param fn  copied, or moved from where it is an rvalue
 * @return 0; -ENOMEM, also for std::bad_alloc while fn is copied; else as gopool_go(). Not 0: it is
 *         not called
 *
 * Throws nothing but what copying fn throws.
 */
template <class F> GOPOOL_MUST_CHECK int go(struct gopool *pool, F &&fn)
{
    typedef detail::gopool_callable<typename std::decay<F>::type> callable;
#ifndef __cpp_aligned_new
    static_assert(alignof(typename std::decay<F>::type) <= alignof(std::max_align_t),
                  "new does not align it before C++17");
#endif
    typename std::decay<F>::type *copy = callable::make(std::forward<F>(fn));

    if (copy == nullptr)
        return -ENOMEM;
    int status = gopool_go(pool, callable::run, copy);
    if (status != 0)
        delete copy;
    return status;
}

/**
 * gopool_try() of a callable: calls fn() here and contains its panics and its exceptions.
 *
 * @param fn     not copied
 * @param panic  overwritten when fn panicked or threw; may be left out
 * @return 0; -ECANCELED when fn panicked or threw
 *
 * Throws nothing.
 */
template <class F> GOPOOL_MUST_CHECK int attempt(F &&fn, struct gopool_panic *panic = nullptr)
{
    typedef detail::gopool_borrowed<typename std::remove_reference<F>::type> borrowed;
    borrowed call = {std::addressof(fn)};

    return gopool_try(borrowed::run, &call, panic);
}

} // namespace netpoll

#endif
