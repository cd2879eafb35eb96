"""Names that no network may have in an artefact: something else has them already.

A network's name is that of its header and its library, of a C++ function and of a Verilog module.
"""

from __future__ import annotations

_C_AND_CPP_KEYWORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept const consteval
constexpr constinit const_cast continue co_await co_return co_yield decltype default delete do double dynamic_cast else
enum explicit export extern false float for friend goto if inline int long main mutable namespace new noexcept not
not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires restrict return short
signed sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid
typename union unsigned using virtual void volatile wchar_t while xor xor_eq
"""
_VERILOG_KEYWORDS = """
always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign default defparam design
disable edge else end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify endtable endtask event
for force forever fork function generate genvar highz0 highz1 if ifnone incdir include initial inout input instance
integer join large liblist library localparam macromodule medium module nand negedge nmos nor noshowcancelled not notif0
notif1 or output parameter pmos posedge primitive pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent
rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled signed small specify
specparam strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg
unsigned use uwire vectored wait wand weak0 weak1 while wire wor xnor xor
"""
_HEADERS_OF_C_AND_POSIX = """
aio assert complex cpio ctype dirent dlfcn endian errno fcntl fenv float fmtmsg fnmatch ftw glob grp iconv inttypes
iso646 jni langinfo libgen limits locale malloc math memory monetary mqueue ndbm netdb nl_types poll pthread pwd regex
sched search semaphore setjmp signal spawn stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn
string strings stropts syslog tar termios tgmath threads time trace uchar ulimit unistd utime utmpx wchar wctype wordexp
"""
_LIBRARIES = "atomic c dl gcc log m rt util"
_FILES_OF_ARTEFACTS = "defines kernels nnet parameters weights"

RESERVED_NAMES = frozenset(
    " ".join((_C_AND_CPP_KEYWORDS, _VERILOG_KEYWORDS, _HEADERS_OF_C_AND_POSIX, _LIBRARIES, _FILES_OF_ARTEFACTS)).split()
)
"""In lower case: C++ of high-level synthesis has names in lower case only, and some file systems know no case."""
