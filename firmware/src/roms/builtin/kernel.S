# The kernel, its setup header, its command line and its initrd.

# Reads the setup header directly into the zero page, and computes the memory range the kernel
# needs.
read_header:
        movl    $kernel_name, item
        movl    $KEY_SETUP_DATA, %eax
        movl    $HEADER_END - zero_page, %ecx
        movl    $zero_page, %edi
        call    read
        cmpl    $0x53726448, HEADER_MAGIC       # "HdrS"
        jne     read_image
        movl    $text_old, %esi
        cmpw    $0x202, PROTOCOL        # The command line's address requires 2.02.
        jb      fail
        movl    $HEADER - zero_page, %ecx
        xorl    %eax, %eax
        rep stosb                       # The kernel expects zeros before its header ...
        movzbl  HEADER_LENGTH, %edi
        addl    $HEADER_MAGIC, %edi
        movl    $HEADER_END, %ecx
        subl    %edi, %ecx
        jbe     1f
        rep stosb                       # ... and after it.
1:      xorl    %eax, %eax              # Fields newer than the kernel read as 0.
        cmpw    $0x20c, PROTOCOL
        jae     3f
        movw    %ax, XLOADFLAGS
        cmpw    $0x20a, PROTOCOL
        jae     3f
        movl    %eax, PREF_ADDRESS
        movl    %eax, PREF_ADDRESS + 4
        movl    %eax, INIT_SIZE
        cmpw    $0x203, PROTOCOL
        jae     3f
        movl    %eax, RAMDISK_MAX
3:      cmpl    %eax, RAMDISK_MAX
        jne     4f
        movl    $0x37ffffff, RAMDISK_MAX
4:      movl    $KEY_KERNEL_SIZE, %eax
        call    read_value
        testl   %ecx, %ecx
        jz      missing
        movl    %ecx, kernel_size
        cmpl    $0, PREF_ADDRESS + 4
        jne     no_room
        movl    PREF_ADDRESS, %eax
        testl   %eax, %eax
        jnz     1f
        movl    $HIGH_RAM, PREF_ADDRESS
1:      cmpl    INIT_SIZE, %ecx
        jae     2f
        movl    INIT_SIZE, %ecx
2:      addl    PREF_ADDRESS, %ecx
        jc      no_room
        cmpl    top, %ecx
        ja      no_room
        movl    %ecx, floor
        ret

# Loads the kernel to the address where it decompresses itself: anywhere else it would need and
# touch more memory.
load_kernel:
        movl    $kernel_name, item
        movl    kernel_size, %ecx
        movl    PREF_ADDRESS, %edi
        movl    $KEY_KERNEL_DATA, %eax
        jmp     read

# Loads the command line and appends a NUL.
load_command_line:
        movl    $command_line_name, item
        movl    CMDLINE_SIZE, %ecx
        cmpl    $CMDLINE_MAX, %ecx
        jbe     1f
        movl    $CMDLINE_MAX, %ecx
1:      movl    $CMDLINE, %edi
        movl    %edi, CMD_LINE_PTR
        movl    $KEY_CMDLINE_DATA, %eax
        call    read
        movb    $0, (%edi,%ecx)
        ret

# Loads the initrd, if any, page-aligned and as high as RAM and the kernel allow.
load_initrd:
        movl    $initrd_name, item
        movl    $KEY_INITRD_SIZE, %eax
        call    read_value
        jecxz   2f
        movl    top, %edi
        testb   $1 << 1, XLOADFLAGS
        jnz     1f
        movl    RAMDISK_MAX, %eax
        incl    %eax
        jz      1f
        cmpl    %eax, %edi
        jbe     1f
        movl    %eax, %edi
1:      subl    %ecx, %edi
        jb      no_room
        andl    $~0xfff, %edi
        cmpl    floor, %edi
        jb      no_room
        cmpl    $0x200000, %ecx         # Align to a huge page if there is room.
        jb      1f
        movl    %edi, %eax
        andl    $~0x1fffff, %eax
        cmpl    floor, %eax
        jb      1f
        movl    %eax, %edi
1:      movl    %edi, RAMDISK_IMAGE
        movl    %ecx, RAMDISK_SIZE
        movl    $KEY_INITRD_DATA, %eax
        call    read
2:      ret
